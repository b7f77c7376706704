"""What every step works with: the GPU, the programs, the places to run them in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gpucheck.errors import CheckFailed
from gpucheck.nvml import Nvml
from gpucheck.outcomes import Figure
from gpucheck.places import Place, Places, Way
from gpucheck.processes import Done, Processes
from gpucheck.share_layout import Terms

MIB = 1 << 20
DENIED = 3
"""The exit status of the samples where the driver said that memory is out."""


@dataclass
class Alone:
    """What a program without a share does when nobody else has the GPU; 0: not measured yet."""

    rounds_per_ms: int = 0
    rate: float = 0.0


@dataclass
class Rig:
    """One GPU and the way that the interceptor is used."""

    driver: Path
    programs: Path
    scratch: Path
    processes: Processes
    places: Places
    nvml: Nvml
    uuid: str
    python: str
    limit_bytes: int
    """Of a share; the GPU has at least three times as much to give."""
    quick: bool = False
    smi: str = "nvidia-smi"
    figures: list[Figure] = field(default_factory=list)
    alone: Alone = field(default_factory=Alone)

    @property
    def limit_mib(self) -> int:
        """In the unit of the samples."""
        return self.limit_bytes // MIB

    @property
    def shares_ledger(self) -> bool:
        """Whether programs started apart are in one share."""
        return self.places.way is not Way.VARIABLES

    @contextmanager
    def share(self, memory_bytes: int | None = None, cores: int = 0, way: Way | None = None) -> Iterator[Place]:
        """A place with a share of this GPU."""
        terms = Terms(self.uuid, self.limit_bytes if memory_bytes is None else memory_bytes, cores)
        with self.places.share(terms, way) as place:
            yield place

    def command(self, place: Place, program: str, *arguments: object) -> list[str]:
        """One of our programs by its name, anything else by its path."""
        ours = self.programs / program
        return [*place.enter, str(ours) if ours.exists() else program, *map(str, arguments)]

    def run(self, place: Place, program: str, *arguments: object) -> Done:
        """Until it ends."""
        return self.processes.run(self.command(place, program, *arguments), place.environment, place.folder)

    def run_well(self, place: Place, program: str, *arguments: object) -> str:
        """What a program prints that has to end well."""
        done = self.run(place, program, *arguments)
        if done.status:
            raise CheckFailed(f"{program} {' '.join(map(str, arguments))}: status {done.status}: {done.last_line}")
        return done.output

    def start(self, place: Place, program: str, *arguments: object) -> subprocess.Popen[str]:
        """To run beside others."""
        return self.processes.start(
            self.command(place, program, *arguments), place.environment, place.folder, quiet=True
        )

    def add_figure(self, table: str, name: str, **cells: float | str) -> None:
        """A row of a table; words of a column's name are joined by underscores."""
        self.figures.append(Figure(table, name, {key.replace("_", " "): value for key, value in cells.items()}))


def expect(holds: bool, message: str) -> None:
    """Fails the check, unless."""
    if not holds:
        raise CheckFailed(message)
