"""kind or the local cluster: the decision, apart from what it is made of.

Without a word from the user kind is taken exactly where it is at home: an engine answers, and the node image is there
or came from a registry. Asked for kind elsewhere, we bring an engine and a node image of our own, and say so.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Observed:
    """What a look at this machine found."""

    engine: str
    """Why no Docker engine answers; empty where one does."""
    image: str = ""
    """Why the node image cannot be had; empty where it is there or was pulled."""

    @property
    def against_kind(self) -> str:
        return self.engine or self.image


@dataclass(frozen=True)
class Choice:
    """The cluster to use and why, in one line."""

    cluster: str
    """kind or local."""
    why: str
    own_engine: bool = False
    """Whether kind gets an engine and a node image of ours."""

    @property
    def brings_all(self) -> bool:
        """Whether everything that runs is ours, and so ends with the cluster."""
        return self.cluster == "local" or self.own_engine

    def __str__(self) -> str:
        return f"cluster: {self.cluster} ({self.why})"


def choose(wanted: str, look: Callable[[], Observed]) -> Choice:
    """The cluster for `wanted` (auto, kind or local); `look` is called only where its answer matters."""
    if wanted == "local":
        return Choice("local", "CLUSTER=local")
    observed = look()
    if wanted == "kind":
        if observed.against_kind:
            why = f"with an engine and a node image of our own: {observed.against_kind}"
            return Choice("kind", why, own_engine=True)
        return Choice("kind", "CLUSTER=kind")
    if observed.against_kind:
        return Choice("local", observed.against_kind)
    return Choice("kind", "a Docker engine answers and kind's node image is there")
