"""Everything around what shares use, put together: looks, node pages, bypasses, metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hami_dra.kubelet_plugin import hami_metrics, usage_metrics
from hami_dra.kubelet_plugin.bypass import BypassJudge
from hami_dra.kubelet_plugin.bypass_reports import BypassReporter
from hami_dra.kubelet_plugin.entries import ShareResult
from hami_dra.kubelet_plugin.feeder import Feeder
from hami_dra.kubelet_plugin.health import HealthBoard
from hami_dra.kubelet_plugin.inventory import Inventory
from hami_dra.kubelet_plugin.known_consumers import ConsumerSource
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.look import Look
from hami_dra.kubelet_plugin.samples import Container
from hami_dra.kubelet_plugin.share_files import ShareFiles
from hami_dra.kubelet_plugin.usage import Usage, decode_usage
from hami_dra.kubelet_plugin.usage_metrics import Scene
from hami_dra.kubelet_plugin.watcher import Sampler, Watcher, WatchSources


@dataclass(frozen=True)
class Surroundings:
    """What is observed, and what is known of it."""

    ledger: Ledger
    pages: ShareFiles
    sampler: Sampler
    find_container: Callable[[int], Container | None]
    consumers: ConsumerSource
    board: HealthBoard
    inventory: Callable[[], Inventory | None]
    refresh: Callable[[], None]


@dataclass(frozen=True)
class ObservationOptions:
    """`bypass_bytes` is the least that counts as a bypass."""

    node_name: str
    bypass_bytes: int
    hami_metrics: bool


class Observation:
    """A service of several threads; only the leading process acts on what it sees."""

    def __init__(self, around: Surroundings, reporter: BypassReporter, options: ObservationOptions) -> None:
        self._around = around
        self._reporter = reporter
        self._options = options
        self._judge = BypassJudge(options.bypass_bytes)
        self._leading = False
        sources = WatchSources(
            ledger=around.ledger,
            pages=around.pages,
            sampler=around.sampler,
            find_container=around.find_container,
            consumers=around.consumers,
            clock_ns=time.monotonic_ns,
        )
        self._watcher = Watcher(sources, self._on_look)
        self._feeder = Feeder(around.ledger, around.pages, self._watcher, around.refresh)

    def start(self) -> None:
        """Start all threads."""
        self._feeder.start()
        self._watcher.start()

    def stop(self) -> None:
        """End them."""
        self._watcher.stop()
        self._feeder.stop()

    def set_leading(self, leading: bool) -> None:
        """Whether this process feeds the shares and reports bypasses."""
        self._leading = leading
        self._feeder.set_leading(leading)

    def is_alive(self) -> bool:
        """Whether shares were fed lately."""
        return self._feeder.is_alive()

    def look(self) -> None:
        """Look at the GPUs now, beside the looks of each second."""
        self._watcher.look()

    def render(self) -> bytes:
        """The metrics of shares and GPUs."""
        around = self._around
        inventory = around.inventory()
        totals = {gpu.uuid: gpu.memory_bytes for gpu in inventory.gpus} if inventory else {}
        scene = Scene(
            entries=around.ledger.snapshot(),
            usage=lambda share: self._usage(share, totals.get(share.uuid, share.memory_bytes)),
            look=self._watcher.latest.shown_at(time.monotonic_ns()),
            gpus=inventory.gpus if inventory else (),
            troubles=around.board.snapshot(),
            to_unix=lambda at_ns: time.time() - (time.monotonic_ns() - at_ns) / usage_metrics.NS_PER_SECOND,
            mended=self._feeder.mended,
        )
        text = usage_metrics.render(scene)
        return text + hami_metrics.render(scene, self._options.node_name) if self._options.hami_metrics else text

    def _usage(self, share: ShareResult, device_bytes: int) -> Usage:
        return decode_usage(self._around.pages.read_usage(share.share_id), device_bytes=device_bytes)

    def _on_look(self, look: Look) -> None:
        if self._leading:
            self._reporter.report(self._judge.judge(look, self._around.ledger.snapshot()))
