"""A node with many claims prepared, and what the plugin does on it in this very process."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import borrowed  # noqa: F401
from plugin_objects import NODE, Node, claim_json, inventory, result, start

from hami_dra.api.resources import Claim
from hami_dra.kubelet_plugin.bypass_evictions import Answer
from hami_dra.kubelet_plugin.bypass_reports import BypassReporter
from hami_dra.kubelet_plugin.health import HealthBoard
from hami_dra.kubelet_plugin.observation import Observation, ObservationOptions, Surroundings
from hami_dra.kubelet_plugin.settings import OnBypass
from hami_dra.kubelet_plugin.share_files import ShareFiles

GPUS = 4
MOST_CLAIMS = 100


@contextmanager
def ground(prefix: str) -> Iterator[Path]:
    """A temporary folder on the disk whose `volatile` lies in memory."""
    with TemporaryDirectory(prefix=prefix) as disk, TemporaryDirectory(prefix=prefix, dir="/dev/shm") as memory:
        (Path(disk) / "volatile").symlink_to(memory)
        yield Path(disk)


def place(root: Path, name: str) -> Path:
    """A folder for a node on that ground: what a real one has under /run is in memory."""
    made = root / name
    made.mkdir()
    for part in ("run", "cdi"):
        target = (root / "volatile").resolve() / name / part
        target.mkdir(parents=True)
        (made / part).symlink_to(target)
    return made


class _Silent:
    """Tells nobody and ends nothing."""

    def emit(self, *event: object) -> None:
        """No matter."""

    def evict(self, namespace: str, pod: str) -> Answer:
        """No matter."""
        return Answer()


class BusyNode:
    """A node with that many prepared claims; each prepare adds one and unprepare, untimed, takes it away."""

    def __init__(self, root: Path, others: int, *, durable: bool) -> None:
        self.node = Node(root, GPUS)
        effects = dataclasses.replace(self.node.effects(), checkpoint=self.node.checkpoint(durable=durable))
        self._plugin = start(self.node, effects, shares_per_gpu=2 * MOST_CLAIMS, gpus=GPUS)
        self._numbers = itertools.count()
        for number in range(others):
            self._plugin.prepare(self.claim(number % GPUS))

    def claim(self, gpu: int = GPUS - 1) -> Claim:
        """The next claim, for a share of that GPU."""
        return Claim.from_json(claim_of(next(self._numbers), gpu))

    def observation(self) -> Observation:
        """What reads the shares of this node; its driver has no process on its GPUs."""
        board = HealthBoard(lambda: None)
        around = Surroundings(
            ledger=self._plugin.ledger,
            pages=ShareFiles(self.node.paths, time.monotonic_ns),
            sampler=self.node.sampler,
            find_container=self.node.containers.get,
            consumers=self.node.consumers,
            board=board,
            inventory=lambda: inventory(GPUS),
            refresh=lambda: None,
        )
        reporter = BypassReporter(_Silent(), board, _Silent(), OnBypass.EVENT, NODE)
        return Observation(around, reporter, ObservationOptions(NODE, 1 << 28, hami_metrics=False))

    def prepare(self, count: int) -> list[float]:
        """Milliseconds of that many prepares, by the clock."""
        return self._prepare(count, time.perf_counter)

    def prepare_cpu(self, count: int) -> list[float]:
        """The same of the CPU, which other work on the machine disturbs less."""
        return self._prepare(count, time.thread_time)

    def _prepare(self, count: int, clock: Callable[[], float]) -> list[float]:
        taken = []
        for _ in range(count):
            claim = self.claim()
            begun = clock()
            self._plugin.prepare(claim)
            taken.append((clock() - begun) * 1e3)
            self._plugin.unprepare(claim.uid)
        return taken


def claim_of(number: int, gpu: int) -> dict[str, object]:
    """A raw allocated claim, small enough for thirty on a GPU."""
    consumed = {"memory": "2000Mi", "cores": "2", "shares": "1"}
    return claim_json(f"claim-{number}", [result(gpu, number, consumedCapacity=consumed)])
