"""How long the kubelet plugin takes to prepare a claim, alone and as kubelet sees it, and what the daemon needs.

Alone: a node with 1, 10 or 100 claims prepared already. Baseline of a prepare: the same files written with no logic at
all.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import borrowed  # noqa: F401
from busy_node import MOST_CLAIMS, BusyNode, ground, place
from figures import machine, measure, percentile, print_table, spread
from plugin_daemon import GPUS as DAEMON_GPUS
from plugin_daemon import Api, Daemon
from plugin_growth import Grown, grow
from plugin_objects import claim_json, result, share_id
from share_container import driver_root

from hami_dra.kubelet_plugin import files
from hami_dra.kubelet_plugin.share_files import ShareFiles
from hami_dra.kubelet_plugin.share_layout import NODE_BYTES, USAGE_FILE_BYTES

DAEMON_SHARES_PER_GPU = 10
OTHERS = (1, 10, MOST_CLAIMS)
PREPARES, SCRAPES, STARTS = 1_000, 100, 5
SECONDS = 10.0


def _floor(node: BusyNode) -> Callable[[], None]:
    """What a prepare writes, written plainly."""
    folder, disk = node.node.paths.run_dir / "floor", node.node.paths.plugin_dir / "floor"
    folder.mkdir()
    disk.mkdir()
    checkpoint = next(node.node.paths.claims_dir.iterdir()).read_bytes()
    spec = next(node.node.paths.cdi_dir.iterdir()).read_bytes()

    def write() -> None:
        (disk / "first").write_bytes(checkpoint)
        (folder / "limits").write_bytes(b"x" * 200)
        (folder / "node").write_bytes(bytes(NODE_BYTES))
        with (folder / "usage").open("wb") as usage:
            os.posix_fallocate(usage.fileno(), 0, USAGE_FILE_BYTES)
        (folder / "spec").write_bytes(spec)
        (disk / "second").write_bytes(checkpoint)
        for path in (*folder.iterdir(), *disk.iterdir()):
            path.unlink()

    return write


def _synced_write(path: Path, data: bytes) -> None:
    files.write_atomic(path, data, mode=0o600, durable=True)


def _alone(root: Path) -> None:
    rows = []
    for others in OTHERS:
        unsynced = BusyNode(place(root, f"unsynced-{others}"), others, durable=False)
        durable = BusyNode(place(root, f"durable-{others}"), others, durable=True)
        floor = measure(_floor(unsynced), at_most=PREPARES, seconds=SECONDS)
        checkpoint = next(durable.node.paths.claims_dir.iterdir()).read_bytes()
        sync = measure(functools.partial(_synced_write, root / "probe", checkpoint), at_most=200, seconds=SECONDS)
        plain, with_sync = unsynced.prepare(PREPARES), durable.prepare(PREPARES // 3)
        base = percentile(floor, 50)
        rows += [
            _row(f"{others} others: baseline, the same files without logic", floor, base),
            _row(f"{others} others: prepare, without API read and fsync", plain, base),
            _row(f"{others} others: prepare, with fsync", with_sync, base),
            _row(f"{others} others: one file written with fsync (a prepare writes one)", sync, base),
        ]
    print_table("Prepare of one claim, by the number of others prepared", _HEAD, rows)


def _scrape(root: Path) -> None:
    busy = BusyNode(place(root, "scraped"), max(OTHERS), durable=False)
    observation = busy.observation()
    observation.look()
    shares = max(OTHERS)
    pages = ShareFiles(busy.node.paths, time.monotonic_ns)
    floor = measure(lambda: [pages.read_totals(share_id(number)) for number in range(shares)], at_most=200, seconds=5)
    rows = [
        _row("baseline: one page of each share read", floor, percentile(floor, 50)),
        _row("scrape of shares and GPUs", measure(observation.render, at_most=200, seconds=5), percentile(floor, 50)),
        _row(
            "one look at all GPUs and ledgers", measure(observation.look, at_most=200, seconds=5), percentile(floor, 50)
        ),
    ]
    print_table(f"What {shares} shares cost at each scrape and each second", _HEAD, rows)


_HEAD = ("", "p50 ms", "p99 ms", "count", "p50 ratio to baseline")


def _row(name: str, taken: list[float], base: float) -> list[str]:
    p50, p99 = percentile(taken, 50), percentile(taken, 99)
    return [name, f"{p50:.2f}", f"{p99:.2f}", str(len(taken)), f"{p50 / base:.1f}"]


def _daemon(root: Path, driver: Path) -> None:
    with ExitStack() as stack:
        api = stack.enter_context(Api.serve(root))
        reads, calls = [], []
        with Daemon.start(root, api, driver) as daemon:
            daemon.register()
            api.wait_for_slices()
            before = daemon.memory_mib()
            held: list[str] = []
            for number in range(PREPARES):
                gpu = number % len(DAEMON_GPUS)
                device = DAEMON_GPUS[gpu].lower()
                consumed = {"memory": "3000Mi", "cores": "10", "shares": "1"}
                raw = claim_json(f"c-{number}", [result(0, number, device=device, consumedCapacity=consumed)])
                api.add_claim(raw)
                reads += measure(lambda: api.read_claim(f"c-{number}"), at_most=1, seconds=0)  # noqa: B023
                calls += measure(lambda: daemon.prepare(f"c-{number}"), at_most=1, seconds=0)  # noqa: B023
                held.append(f"c-{number}")
                if len(held) == len(DAEMON_GPUS) * (DAEMON_SHARES_PER_GPU - 1):
                    daemon.unprepare(held[0])
                    api.drop_claim(held.pop(0))
                if number % (PREPARES // SCRAPES) == 0:
                    daemon.scrape()
            after, peak = daemon.memory_mib(), daemon.memory_mib("VmHWM")
        base = percentile(reads, 50)
        rows = [_row("baseline: one read of a claim", reads, base), _row("NodePrepareResources", calls, base)]
        print_table("As kubelet sees it: gRPC, API read, fsync; a Python API server on the same cores", _HEAD, rows)
        rows = [[f"{mib:.1f}" for mib in (before, after, peak)]]
        print_table(f"Daemon's RSS, MiB: {PREPARES} prepares, {SCRAPES} scrapes", ["start", "after", "peak"], rows)
        _starts(root, api, driver)


def _starts(root: Path, api: Api, driver: Path) -> None:
    imports, sockets, slices = [], [], []
    command = [sys.executable, "-c", "import hami_dra.kubelet_plugin.main"]
    for _ in range(STARTS):
        imports += measure(lambda: subprocess.run(command, check=True), at_most=1, seconds=0)
        api.drop_slices()
        start = time.perf_counter()
        with Daemon.start(root, api, driver) as daemon:
            sockets.append((time.perf_counter() - start) * 1e3)
            daemon.register()
            api.wait_for_slices()
            slices.append((time.perf_counter() - start) * 1e3)
    base = spread(imports).median
    named = {"baseline: imports only": imports, "registration socket": sockets, "slices published": slices}
    rows = [[name, spread(taken).text(0), f"{spread(taken).median / base:.2f}"] for name, taken in named.items()]
    print_table("Start of the daemon until, ms", ["", "median (least to greatest)", "ratio to baseline"], rows)


def _growth(found: Sequence[Grown]) -> None:
    rows = [
        [
            str(grown.claims),
            *(f"{percentile(taken, percent):.1f}" for taken in _prepares(grown) for percent in (50, 99)),
            spread(grown.starts).text(0),
            spread(grown.starts_cpu).text(0),
            f"{grown.rss_mib:.1f}",
        ]
        for grown in found
    ]
    head = ["claims held", "prepare p50 ms", "p99", "CPU p50", "p99", "as kubelet sees it p50", "p99"]
    head += ["start ms", "start CPU ms", "RSS MiB"]
    print_table("The daemon that holds claims: prepare of one more, start to slices, memory", head, rows)


def _prepares(grown: Grown) -> tuple[list[float], ...]:
    return grown.alone, grown.alone_cpu, grown.calls


def main() -> None:
    """Print every table."""
    print(f"prepare: {machine()}", flush=True)
    with ground("bench-prepare-") as root, driver_root() as driver:
        _alone(root)
        _scrape(root)
        if os.geteuid() == 0:
            _daemon(place(root, "daemon"), driver)
            _growth([grow(root, driver, claims) for claims in OTHERS])
        else:
            print(json.dumps({"skipped": "the daemon needs root for the fake driver's device nodes"}))


if __name__ == "__main__":
    main()
