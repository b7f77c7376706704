"""A node with many claims prepared, and what the plugin does on it in this very process."""

from __future__ import annotations

import dataclasses
import itertools
import time
from pathlib import Path

import borrowed  # noqa: F401
from figures import measure
from plugin_objects import NODE, Node, claim_json, inventory, result, start

from hami_dra.api.resources import Claim
from hami_dra.kubelet_plugin.bypass_reports import BypassReporter
from hami_dra.kubelet_plugin.health import HealthBoard
from hami_dra.kubelet_plugin.observation import Observation, ObservationOptions, Surroundings
from hami_dra.kubelet_plugin.settings import OnBypass
from hami_dra.kubelet_plugin.share_files import ShareFiles

GPUS = 4
MOST_CLAIMS = 100


class _Silent:
    """Tells nobody and ends nothing."""

    def emit(self, *event: object) -> None:
        """No matter."""

    def evict(self, namespace: str, pod: str) -> None:
        """No matter."""


class BusyNode:
    """A node with that many prepared claims; each prepare adds one and unprepare, untimed, takes it away."""

    def __init__(self, root: Path, others: int, *, durable: bool) -> None:
        root.mkdir()
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
        """Milliseconds of that many prepares."""
        taken = []
        for _ in range(count):
            claim = self.claim()
            taken += measure(lambda: self._plugin.prepare(claim), at_most=1, seconds=0)  # noqa: B023
            self._plugin.unprepare(claim.uid)
        return taken


def claim_of(number: int, gpu: int) -> dict[str, object]:
    """A raw allocated claim, small enough for thirty on a GPU."""
    consumed = {"memory": "2000Mi", "cores": "2", "shares": "1"}
    return claim_json(f"claim-{number}", [result(gpu, number, consumedCapacity=consumed)])
