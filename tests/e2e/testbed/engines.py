"""The Docker engine below a kind cluster: this machine's, or one of our own that lives as long as the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cluster.settings import Settings
from kindcluster.engine import Engine as OwnEngine
from kindcluster.engine_files import EngineLayout
from kindcluster.engine_programs import engine_programs
from kindcluster.node_image import NodeImage, node_image


class Engine(Protocol):
    """What a kind cluster needs of its engine."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What docker and kind find changed in theirs."""

    @property
    def node_image(self) -> str:
        """What kind's nodes run."""

    @property
    def ends_with_cluster(self) -> bool:
        """Whether removing the engine removes the cluster with all that is in it."""

    def start(self) -> None:
        """Have the engine answer and know the node image."""

    def answers(self) -> bool:
        """Whether there is anything to ask."""

    def expose(self, port: int) -> None:
        """Have a port that the engine publishes on its loopback answer on this machine's."""

    def remove(self) -> None:
        """Remove the engine where it is ours; harmless where that was done."""


@dataclass(frozen=True)
class MachineEngine:
    """The engine that answers on this machine; we only use it."""

    node_image: str
    environment: Mapping[str, str] = field(default_factory=dict)
    ends_with_cluster: bool = False

    def start(self) -> None:
        """It runs."""

    def answers(self) -> bool:
        return True

    def expose(self, port: int) -> None:
        """Its loopback is this machine's."""

    def remove(self) -> None:
        """It is not ours."""


@dataclass(frozen=True)
class ThrowAwayEngine:
    """An engine and a node image of our own."""

    engine: OwnEngine
    image: NodeImage
    ends_with_cluster: bool = True

    @property
    def environment(self) -> Mapping[str, str]:
        return self.engine.environment

    @property
    def node_image(self) -> str:
        return self.image.reference

    def start(self) -> None:
        self.engine.up()
        self.engine.load(self.image.archive, self.image.reference)

    def answers(self) -> bool:
        return self.engine.answers()

    def expose(self, port: int) -> None:
        self.engine.forward(port)

    def remove(self) -> None:
        self.engine.remove()


def throw_away_engine(name: str, settings: Settings) -> ThrowAwayEngine:
    """The engine of the cluster of that name; nothing is started, but what is missing of it is built."""
    engine = OwnEngine(EngineLayout.of(settings.state_root, name), engine_programs(settings))
    return ThrowAwayEngine(engine, node_image(settings))


def remove_engine(name: str, settings: Settings) -> bool:
    """Remove our engine of the cluster of that name; whether there was one.

    Takes none of its programs, so nothing is fetched or built for it.
    """
    engine = OwnEngine(EngineLayout.of(settings.state_root, name), programs=Path())
    found = engine.exists()
    engine.remove()
    return found
