"""Looks at the GPUs: ledgers around the sample, two looks before anything is believed."""

from __future__ import annotations

import dataclasses
import struct
import threading
import time
from collections.abc import Mapping

import pytest
from plugin_objects import (
    MIB,
    FakeSampler,
    Node,
    Unwatched,
    claim,
    device,
    gpu,
    instance,
    result,
    share_config,
    share_id,
    start,
    uuid,
)

from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.consumers import Consumer, Consumers
from hami_dra.kubelet_plugin.feeder import Feeder
from hami_dra.kubelet_plugin.look import Look
from hami_dra.kubelet_plugin.samples import Container, GpuSample, Sample, Work
from hami_dra.kubelet_plugin.share_files import ShareFiles
from hami_dra.kubelet_plugin.usage_metrics import Scene, render
from hami_dra.kubelet_plugin.watcher import Watcher, WatchSources

OWNER_DIED = 0x40000000


def charge(
    node: Node, share: int, charged: int, *, last_ns: int = 0, launches: int = 0, lock: int = 5, gpu_ns: int = 0
) -> None:
    """Write a share's usage page as its processes do; one process with pid 5."""
    header = struct.pack(
        "<QIIQIIII",
        layout.USAGE_MAGIC,
        layout.USAGE_LAYOUT,
        2,
        layout.USAGE_FILE_BYTES,
        layout.USAGE_SLOT_COUNT,
        layout.USAGE_SLOT_BYTES,
        layout.USAGE_SLOTS_OFFSET,
        layout.USAGE_HEADER_BYTES,
    )
    totals = [0] * layout.TOTAL_COUNT
    totals[layout.TOTAL_CHARGED] = totals[layout.TOTAL_DEVICE] = charged
    totals[layout.TOTAL_LAST_ACTIVITY_NS], totals[layout.TOTAL_LAUNCHES] = last_ns, launches
    totals[layout.TOTAL_GPU_NS] = gpu_ns
    slot = bytearray(layout.USAGE_SLOT_BYTES)
    struct.pack_into("<IIQ", slot, 0, layout.SLOT_TAKEN, 5, 4026530000)
    struct.pack_into("<QI", slot, layout.SLOT_OFFSET_BYTES, charged, 0)
    struct.pack_into("<I", slot, layout.SLOT_OFFSET_LOCK, lock)
    with (node.paths.share(share_id(share)) / "usage").open("r+b") as file:
        file.write(header.ljust(layout.USAGE_HEADER_BYTES, b"\0") + struct.pack(f"<{layout.TOTAL_COUNT}Q", *totals))
        file.seek(layout.USAGE_OFFSET_HIGH_WATER)
        file.write(struct.pack("<I", 1))
        file.seek(layout.USAGE_SLOTS_OFFSET)
        file.write(slot)


class Rig:
    """A node with one prepared share, a watcher and a feeder that are not started."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.process = start(node)
        self.process.prepare(claim())
        self.pages = ShareFiles(node.paths, lambda: 1)
        node.containers[10] = Container("/c", "pod-uid", "cuda", 4026530000, frozenset({share_id(1)}))
        node.consumers.found = Consumers({share_id(1): (Consumer("default", "pod-1", "cuda"),)})
        self.sources = WatchSources(
            ledger=self.process.ledger,
            pages=self.pages,
            sampler=node.sampler,
            find_container=node.containers.get,
            consumers=node.consumers,
            clock_ns=lambda: 5_000_000_000,
        )
        self.watcher = Watcher(self.sources, list[Look]().append)
        self.feeder = Feeder(self.process.ledger, self.pages, self.watcher, lambda: None)

    def seen(self, memory_bytes: int) -> Look:
        """A look at a GPU on which process 10 has that much."""
        sample = GpuSample(
            uuid(0), memory_used_bytes=memory_bytes, memory_total_bytes=80_000 * MIB, processes={10: memory_bytes}
        )
        self.node.sampler.found = {uuid(0): sample}
        return self.watcher.look()

    def told(self) -> int:
        """The bytes beyond the ledger on the share's node page."""
        page = (self.node.paths.share(share_id(1)) / "node").read_bytes()
        return int(struct.unpack_from("<Q", page, layout.NODE_OFFSET_UNLEDGERED_BYTES)[0])


@pytest.fixture
def rig(node: Node) -> Rig:
    """The node."""
    return Rig(node)


def test_bytes_beyond_the_ledger_reach_the_share(rig: Rig) -> None:
    """Within two seconds, so the interceptor gives that much less."""
    charge(rig.node, 1, 1000 * MIB)
    rig.seen(1500 * MIB)
    rig.feeder.beat()
    assert rig.told() == 0
    rig.seen(1400 * MIB)
    rig.feeder.beat()
    assert rig.told() == 400 * MIB
    rig.seen(1000 * MIB)
    rig.feeder.beat()
    assert rig.told() == 0


def test_a_ledger_that_grew_around_the_sample_explains_it(rig: Rig) -> None:
    """The most that it said counts: memory may come between the two looks at it."""

    class Growing(ShareFiles):
        def read_totals(self, share: object) -> bytes:
            page = super().read_totals(share_id(1))
            charge(rig.node, 1, 2000 * MIB)
            return page

    charge(rig.node, 1, 0)
    rig.watcher._sources = WatchSources(**{**vars(rig.watcher._sources), "pages": Growing(rig.node.paths, lambda: 1)})
    look = rig.seen(2000 * MIB)
    assert look.accounts.shares[share_id(1)].beyond_bytes == 0


def test_without_a_driver_nothing_is_claimed(rig: Rig) -> None:
    """The heartbeat goes on."""
    rig.node.sampler.found = None
    look = rig.watcher.look()
    rig.feeder.beat()
    assert (dict(look.accounts.shares), dict(look.accounts.gpus)) == ({}, {})
    assert rig.told() == 0


def test_a_kubelet_that_is_away_leaves_what_was_known(rig: Rig) -> None:
    """Names of containers do not change because kubelet restarts."""
    look = rig.seen(0)
    rig.node.consumers.found = None
    for _ in range(10):
        assert rig.watcher.look().consumers == look.consumers


def test_a_container_is_named_in_the_look_that_first_sees_it(rig: Rig) -> None:
    """Between two regular questions to kubelet too: a bypass that has no pod would be told to nobody."""
    named = rig.node.consumers.found
    rig.node.consumers.found = Consumers()
    assert rig.watcher.look().consumers == Consumers()
    rig.node.consumers.found = named
    assert rig.seen(1500 * MIB).consumers == named


@pytest.mark.parametrize("answer", [Consumers(), None], ids=["does not know it", "is away"])
def test_kubelet_is_not_asked_each_second_about_one_container(rig: Rig, answer: Consumers | None) -> None:
    """Nor for a share that is prepared and not started."""
    rig.watcher.look()
    rig.node.consumers.found = answer
    for _ in range(10):
        rig.seen(1500 * MIB)
    # One for the first look, one for the container that appeared, and then every fifth.
    assert rig.node.consumers.reads == 3


def test_a_low_priority_hears_of_a_high_one_between_two_beats(rig: Rig) -> None:
    """Ten looks a second, one word a look."""
    entry = rig.process.prepare(claim("high", [result(share=2)]))
    shares = tuple(dataclasses.replace(s, priority=5) for s in entry.results)
    rig.process.ledger.put(dataclasses.replace(entry, results=shares))
    rig.feeder.beat()
    gate = rig.node.paths.share(share_id(1)) / "node"
    assert struct.unpack_from("<I", gate.read_bytes(), layout.NODE_OFFSET_GATE) == (layout.GATE_OPEN,)
    charge(rig.node, 2, 0, last_ns=time.monotonic_ns())
    rig.feeder.tick()
    assert struct.unpack_from("<I", gate.read_bytes(), layout.NODE_OFFSET_GATE) == (layout.GATE_CLOSED,)


def test_a_share_hears_of_company_between_two_beats(rig: Rig) -> None:
    """What its launches are measured to take holds the other's time from then on."""
    rig.process.prepare(claim("second", [result(share=2)]))
    rig.feeder.beat()
    page = rig.node.paths.share(share_id(1)) / "node"
    assert struct.unpack_from("<I", page.read_bytes(), layout.NODE_OFFSET_OTHERS) == (layout.OTHERS_UNKNOWN,)
    charge(rig.node, 2, 0, last_ns=time.monotonic_ns())
    rig.feeder.tick()
    assert struct.unpack_from("<I", page.read_bytes(), layout.NODE_OFFSET_OTHERS) == (layout.OTHERS_BUSY,)


def test_a_share_beside_others_hears_of_its_correction_between_two_beats(rig: Rig) -> None:
    """It pays too much or too little until then."""
    rig.process.prepare(claim("second", [result(share=2)]))
    rig.feeder.beat()
    page = rig.node.paths.share(share_id(1)) / "node"
    assert struct.unpack_from("<I", page.read_bytes(), layout.NODE_OFFSET_CORRECTION) == (0,)
    rig.watcher.correct()
    rig.feeder.tick()
    assert struct.unpack_from("<I", page.read_bytes(), layout.NODE_OFFSET_CORRECTION) == (layout.CORRECTION_ONE,)


class Unlooked(Unwatched):
    """Keeps what it is told of others."""

    def __init__(self) -> None:
        self.told: dict[str, bool] = {}
        self.own_parts: dict[str, float] = {}

    def tell(self, share_id: ShareId, *, others_work: bool, own_part: float) -> int:
        """No correction."""
        self.told[share_id], self.own_parts[share_id] = others_work, own_part
        return 0


def test_corrections_hear_of_company_as_the_share_does(rig: Rig) -> None:
    """They know then in which way launches are measured."""
    rig.process.prepare(claim("second", [result(share=2)]))
    looks = Unlooked()
    feeder = Feeder(rig.process.ledger, rig.pages, looks, lambda: None)
    feeder.beat()
    assert not looks.told[share_id(1)]
    charge(rig.node, 2, 0, last_ns=time.monotonic_ns())
    feeder.tick()
    assert looks.told[share_id(1)]


def test_corrections_hear_what_neighbours_have_of_long_launches(rig: Rig) -> None:
    """By the two shares' ledgers, at the next tick."""
    rig.process.prepare(claim("second", [result(share=2)]))
    looks = Unlooked()
    feeder = Feeder(rig.process.ledger, rig.pages, looks, lambda: None)
    feeder.beat()
    assert looks.own_parts[share_id(1)] == 1.0
    charge(rig.node, 1, 0, last_ns=time.monotonic_ns(), launches=1, gpu_ns=100_000_000)
    charge(rig.node, 2, 0, last_ns=time.monotonic_ns(), launches=10_000, gpu_ns=10_000_000_000)
    feeder.tick()
    assert layout.CORRECTION_MIN / layout.CORRECTION_ONE <= looks.own_parts[share_id(1)] < 1.0
    assert looks.own_parts[share_id(2)] == 1.0


def test_only_shares_that_are_held_back_are_corrected(rig: Rig) -> None:
    """All others are charged nothing."""
    free = result(share=2, consumedCapacity={"memory": "3000Mi", "cores": "0", "shares": "1"})
    rig.process.prepare(claim("free", [free]))
    rig.watcher.correct()
    assert rig.watcher.tell(share_id(1), others_work=True, own_part=1.0) == layout.CORRECTION_ONE
    assert rig.watcher.tell(share_id(2), others_work=True, own_part=1.0) == 0


def test_a_share_gives_way_to_one_without_priority_that_nvml_sees_at_work(rig: Rig) -> None:
    """Of which nobody counts launches. Without a priority it has 0, which is more than -1."""
    free = result(share=2, consumedCapacity={"memory": "3000Mi", "cores": "0", "shares": "1"})
    rig.process.prepare(claim("free", [free]))
    rig.process.prepare(claim("below", [result(share=3)], [share_config(priority=-1)]))
    rig.node.containers[11] = Container("/d", "pod-uid", "cuda", 4026530000, frozenset({share_id(2)}))
    page = rig.node.paths.share(share_id(3)) / "node"
    told = []
    for percent in (90.0, 0.0):
        sample = GpuSample(uuid(0), processes={11: MIB}, busy={11: percent})
        rig.node.sampler.found = {uuid(0): sample}
        rig.sources = dataclasses.replace(rig.sources, clock_ns=time.monotonic_ns)
        watcher = Watcher(rig.sources, list[Look]().append)
        watcher.look()
        Feeder(rig.process.ledger, rig.pages, watcher, lambda: None).beat()
        told += struct.unpack_from("<I", page.read_bytes(), layout.NODE_OFFSET_GATE)
    assert told == [layout.GATE_CLOSED, layout.GATE_OPEN]


class CountingSampler(FakeSampler):
    """Keeps what it was asked, up to the first look."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = list[str]()
        self.looked = threading.Event()

    def sample(self) -> Sample:
        """A look at the GPUs."""
        self.looked.set()
        return super().sample()

    def work(self) -> Mapping[str, Work]:
        """What processes did."""
        if not self.looked.is_set():
            self.asked.append("work")
        return super().work()


def test_shares_are_corrected_four_times_a_second(rig: Rig) -> None:
    """Each look comes after so many."""
    sampler = CountingSampler()
    watcher = Watcher(dataclasses.replace(rig.sources, sampler=sampler), list[Look]().append)
    watcher.start()
    try:
        assert sampler.looked.wait(30)
    finally:
        watcher.stop()
    assert sampler.asked == ["work"] * 4


def scene_of(rig: Rig, look: Look) -> Scene:
    """What a scrape shows after that look."""
    return Scene(
        entries=rig.process.entries(),
        usage=lambda share: look.usages[share.share_id],
        look=look,
        gpus=[gpu(0), instance(1)],
        troubles={},
        to_unix=lambda at_ns: at_ns / 1e9,
        mended=rig.feeder.mended,
    )


def test_metrics_leave_out_what_a_killed_process_held(rig: Rig) -> None:
    """Also where it was the only one of its share, so that nobody has put its usage file right."""
    charge(rig.node, 1, 1000 * MIB, lock=OWNER_DIED)
    text = render(scene_of(rig, rig.seen(0))).decode()
    values = {line.partition("{")[0]: line.rpartition(" ")[2] for line in text.splitlines() if "cuda" in line}
    assert values["hami_dra_share_memory_used_bytes"] == "0"
    assert values["hami_dra_share_processes"] == "0"
    assert values["hami_dra_container_memory_used_bytes"] == "0"
    assert "hami_dra_share_memory_kind_bytes" not in values


def test_metrics_show_no_figures_of_a_driver_that_hangs(rig: Rig) -> None:
    """The last ones would stand there for good; whose the share is, and what its ledger says, is known still."""
    charge(rig.node, 1, 300 * MIB)
    look = rig.seen(400 * MIB)
    fresh = render(scene_of(rig, look.shown_at(look.at_ns + 10_000_000_000))).decode()
    stale = render(scene_of(rig, look.shown_at(look.at_ns + 10_000_000_001))).decode()
    assert "hami_dra_share_memory_device_bytes{" in fresh
    assert "hami_dra_node_gpu_memory_used_bytes{" in fresh
    assert "device_bytes{" not in stale
    assert "hami_dra_node_gpu_memory_used_bytes{" not in stale
    assert 'pod="pod-1"' in stale
    assert "hami_dra_share_memory_used_bytes{" in stale


def test_metrics_name_pod_and_container(rig: Rig) -> None:
    """What people look for; and everything of a share in one place."""
    charge(rig.node, 1, 1000 * MIB, last_ns=3_000_000_000, launches=7)
    rig.seen(1500 * MIB)
    look = rig.seen(1500 * MIB)
    text = render(scene_of(rig, look)).decode()
    values = {line.partition("{")[0]: line.rpartition(" ")[2] for line in text.splitlines() if "cuda" in line}
    wanted = {
        "memory_limit_bytes": "3145728000",
        "memory_used_bytes": "1048576000",
        "memory_kind_bytes": "1048576000",
        "memory_device_bytes": str(1500 * MIB),
        "memory_beyond_bytes": str(500 * MIB),
        "launches_total": "7",
        "throttled_seconds_total": "0.0",
        "last_activity_timestamp_seconds": "3.0",
        "processes": "1",
    }
    assert {name: values[f"hami_dra_share_{name}"] for name in wanted} == wanted
    assert values["hami_dra_container_memory_used_bytes"] == "1048576000"
    assert 'pod="pod-1"' in text
    of_instance = f'device="{instance(1).uuid.lower()}",model="NVIDIA H100 80GB HBM3 MIG 1g.10gb"'
    assert (
        f'_info{{{of_instance},parent="{device(1)}",profile="1g.10gb",type="mig",uuid="{instance(1).uuid}"}} 1' in text
    )
    assert f'hami_dra_node_gpu_healthy{{device="{device(0)}"}} 1' in text
    assert f'hami_dra_node_gpu_memory_beyond_bytes{{device="{uuid(0).lower()}"}} {500 * MIB}' in text
