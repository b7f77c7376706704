"""Programs that keep a simulated GPU as busy as their shares let them, and what the GPU really ran meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from share_container import NATIVE, REPOSITORY, Place, container, libraries_of

LOOK_MS = 10
_LONGER_S = 20  # than the run: so that nothing of it stays for ever
_NS = 1_000_000_000
_PAGES = Path(__file__).with_name("node_pages.py")
_TOKEN_BUCKET = NATIVE / "probes/libtoken_bucket.so"


@dataclass(frozen=True)
class Tenant:
    """Processes that share one limit. ``lengths``: what `gpu-bench busy` takes."""

    percent: int
    lengths: str = "1000000"
    processes: int = 1
    limiter: str = "share"
    """``share``: ours; ``bucket``: the plain token bucket; ``none``: unlimited."""
    stops_after: float | None = None


@dataclass(frozen=True)
class Series:
    """How long a tenant had kept the GPU busy at each look, both in ns; looks are ``LOOK_MS`` apart, about."""

    at_ns: tuple[int, ...]
    busy_ns: tuple[int, ...]

    def parts(self, window_s: float, skip_s: float, stop_s: float | None = None) -> list[float]:
        """The percent of each window in which the tenant had the GPU; windows begin at every fifth look."""
        first, window = self.at_ns[0] + int(skip_s * _NS), int(window_s * _NS)
        last = self.at_ns[-1] if stop_s is None else min(self.at_ns[0] + int(stop_s * _NS), self.at_ns[-1])
        found = []
        for start in range(bisect_left(self.at_ns, first), len(self.at_ns), 5):
            end = bisect_left(self.at_ns, self.at_ns[start] + window - LOOK_MS * 500_000)
            if end == len(self.at_ns) or self.at_ns[end] > last:
                break
            length = self.at_ns[end] - self.at_ns[start]
            found.append((self.busy_ns[end] - self.busy_ns[start]) * 100 / length)
        return found

    def mean(self, skip_s: float) -> float:
        """The percent over all of the time but the beginning."""
        first = bisect_left(self.at_ns, self.at_ns[0] + int(skip_s * _NS))
        return (self.busy_ns[-1] - self.busy_ns[first]) * 100 / (self.at_ns[-1] - self.at_ns[first])


def run_tenants(root: Path, tenants: Sequence[Tenant], seconds: float) -> list[Series]:
    """What each tenant got, from its first launch on."""
    with ExitStack() as stack:
        places = [_place(stack, root, tenant) for tenant in tenants]
        bare = Place(libraries_of(root), variables=(f"FAKE_GPU_ROOT={root}",))
        looks = str(int(seconds * 1000 / LOOK_MS))
        command = bare.command(str(LOOK_MS), looks, program=NATIVE / "fake/gpu-watch")
        stack.enter_context(_pages(root, places))
        running = [
            stack.enter_context(_running(place, tenant, seconds)) for place, tenant in zip(places, tenants, strict=True)
        ]
        watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        begun = time.monotonic()
        for (group, _), tenant in zip(running, tenants, strict=True):
            if tenant.stops_after is not None:
                time.sleep(max(begun + tenant.stops_after - time.monotonic(), 0))
                os.killpg(group, signal.SIGKILL)
        text, _ = watch.communicate(timeout=seconds + 60)
    return [_series(text, pids) for _, pids in running]


def _place(stack: ExitStack, root: Path, tenant: Tenant) -> Place:
    if tenant.limiter == "share":
        return stack.enter_context(container(root, core_percent=tenant.percent))
    bucket = (f"LD_PRELOAD={_TOKEN_BUCKET}", f"TOKEN_BUCKET_PERCENT={tenant.percent}")
    return Place(libraries_of(root), variables=bucket if tenant.limiter == "bucket" else ())


@contextmanager
def _running(place: Place, tenant: Tenant, seconds: float) -> Iterator[tuple[int, frozenset[int]]]:
    """The tenant's process group and its processes."""
    command = place.command("busy", tenant.lengths, str(int((seconds + _LONGER_S) * 1000)))
    started: list[subprocess.Popen[str]] = []
    try:
        for _ in range(tenant.processes):
            group = started[0].pid if started else 0
            quiet = subprocess.DEVNULL
            started.append(subprocess.Popen(command, stdout=quiet, stderr=quiet, text=True, process_group=group))
        yield started[0].pid, frozenset(process.pid for process in started)
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextmanager
def _pages(root: Path, places: Sequence[Place]) -> Iterator[None]:
    """The plugin's part, for the shares that there are. On a node it is there before them."""
    pairs = [(str(place.pid), str(place.share)) for place in places if place.share]
    if not pairs:
        yield
        return
    variables = {**os.environ, "LD_LIBRARY_PATH": str(libraries_of(root)), "FAKE_GPU_ROOT": str(root)}
    command = [sys.executable, str(_PAGES), str(root), *(part for pair in pairs for part in pair)]
    pipe = subprocess.PIPE
    writer = subprocess.Popen(command, env=variables, stdin=pipe, stdout=pipe, text=True, cwd=REPOSITORY)
    assert writer.stdin is not None
    assert writer.stdout is not None
    try:
        if writer.stdout.readline() != "ready\n":
            raise RuntimeError("the plugin's part did not start")
        yield
    finally:
        writer.stdin.close()
        writer.wait()
        writer.stdout.close()


def _series(text: str, pids: frozenset[int]) -> Series:
    """Sums the tenant's processes; one that a look misses has done what it had at the last."""
    busy: dict[int, int] = {}
    sums: dict[int, int] = {}
    for line in text.splitlines():
        at, pid, value = map(int, line.split())
        if pid in pids:
            busy[pid] = value
            sums[at] = sum(busy.values())
    started = [at for at, value in sums.items() if value > 0]
    looks = sorted(at for at in sums if at >= min(started, default=0))
    return Series(tuple(looks), tuple(sums[at] for at in looks))
