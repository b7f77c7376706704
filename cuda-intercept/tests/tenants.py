"""Tenants of one GPU, each in a container of its own beside the others, and the kubelet plugin's part of their node."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Protocol

import container
from container import FAKE, FIRST_GPU, MIB, TEST_LIBRARY, TEST_ROOT

from hami_dra.api import names
from hami_dra.api.names import ClaimUid, ShareId
from hami_dra.kubelet_plugin.checkpoint_files import CheckpointFiles
from hami_dra.kubelet_plugin.consumers import Consumers
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry, ShareResult, State
from hami_dra.kubelet_plugin.feeder import Feeder, Looks
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.look import Look
from hami_dra.kubelet_plugin.nvml_samples import NvmlSampler
from hami_dra.kubelet_plugin.paths import NodePaths
from hami_dra.kubelet_plugin.samples import Container
from hami_dra.kubelet_plugin.share_files import ShareFiles
from hami_dra.kubelet_plugin.watcher import Watcher, WatchSources

BENCH = FAKE / "gpu-bench"
WATCH = FAKE / "gpu-watch"
LONGEST_MS = 60_000
_NODE = TEST_ROOT / "node"
_WATCH_SECONDS = 60
_PATIENCE_SECONDS = 30
_WINDOW_MS = 1000

# $1 where programs look for shares, $2 an empty copy of it, $3 the only share that this container has;
# the rest is the command.
_ENTER = """
set -e
shares=$1; view=$2; own=$3; shift 3
mount --make-rprivate /
mount --bind "$shares/$own" "$view/$own"
mount --rbind "$view" "$shares"
exec "$@"
"""


def share(number: int, *, cores: int = 0, priority: int | None = None, core_limit: str = "") -> ShareResult:
    """A share of the first GPU; without `core_limit` it is hard with cores, none without."""
    return ShareResult(
        request="gpu",
        device=names.device_name(FIRST_GPU),
        uuid=FIRST_GPU,
        share_id=ShareId(f"5aaaaaaa-0000-8000-8000-{number:012d}"),
        memory_bytes=3000 * MIB,
        core_percent=cores,
        core_limit=core_limit or ("hard" if cores else "none"),
        priority=priority,
        admin_access=False,
        cdi_ids=(),
    )


class Unwatched:
    """GPUs at which nobody looks."""

    latest = Look()

    def tell(self, share_id: ShareId, *, others_work: bool, own_part: float) -> int:  # noqa: ARG002
        """No correction."""
        return 0


class NoKubelet:
    """Nobody asks whose the shares are."""

    def read(self) -> Consumers:
        """Nobody's."""
        return Consumers()


Owners = dict[int, ShareResult]
"""Whose container a process is in, by its pid."""


@contextmanager
def node(*shares: ShareResult) -> Iterator[None]:
    """The shares' files, and the thread that tells each share of the others: the plugin's own code."""
    files, ledger = _lay_out(shares)
    with _fed(ledger, files, Unwatched()):
        yield


@contextmanager
def watched_node(libraries: str, owners: Owners, *shares: ShareResult) -> Iterator[None]:
    """As `node`, with the plugin's look at the GPUs, which finds the processes that `owners` holds by then."""
    files, ledger = _lay_out(shares)
    sampler = NvmlSampler(Path(root_of(libraries)))
    sources = WatchSources(ledger, files, sampler, lambda pid: _container(owners.get(pid)), NoKubelet(), monotonic_ns)
    watcher = Watcher(sources, lambda _: None)
    watcher.start()
    try:
        with _fed(ledger, files, watcher):
            yield
    finally:
        watcher.stop()


def _container(owner: ShareResult | None) -> Container | None:
    if owner is None:
        return None
    return Container(f"/{owner.share_id}", name=owner.share_id, shares=frozenset({owner.share_id}))


def _lay_out(shares: Sequence[ShareResult]) -> tuple[ShareFiles, Ledger]:
    container.lay_out()
    paths = NodePaths(_NODE, TEST_ROOT / "run/hami", _NODE / "cdi", _NODE / "static-cdi")
    files, ledger = (
        ShareFiles(paths, monotonic_ns),
        Ledger(CheckpointFiles(_NODE, _NODE / "whole", _NODE / "count")),
    )
    entries = {}
    for one in shares:
        files.ensure(one, fresh=True)
        (_NODE / one.share_id / one.share_id).mkdir(parents=True)
        claim = ClaimRef("tenants", one.share_id, ClaimUid(one.share_id))
        entries[claim.uid] = Entry(State.COMPLETED, "boot", claim, (one,), "library")
    ledger.adopt(entries)
    return files, ledger


@contextmanager
def _fed(ledger: Ledger, files: ShareFiles, looks: Looks) -> Iterator[None]:
    feeder = Feeder(ledger, files, looks, lambda: None)
    feeder.set_leading(True)
    feeder.start()
    try:
        yield
    finally:
        feeder.stop()


def root_of(libraries: str) -> str:
    """The driver root that they are in."""
    return libraries.partition("/usr/lib")[0]


def start(
    libraries: str, one: ShareResult, *command: str | Path, isolation: Sequence[str] = ("-m",)
) -> subprocess.Popen[str]:
    """A program in a container that has this share alone; `isolation`: what `unshare` is told."""
    variables = [f"{name}={value}" for name, value in container.environment(libraries, TEST_LIBRARY).items()]
    enter = ["unshare", *isolation, "--", "sh", "-c", _ENTER, "sh", str(TEST_ROOT / "run/hami/shares")]
    enter += [str(_NODE / one.share_id), one.share_id, "env", "-i", *variables]
    return subprocess.Popen([*enter, *map(str, command)], stdout=subprocess.DEVNULL, text=True)


class Worker(Protocol):
    """A process on the GPU."""

    @property
    def pid(self) -> int:
        """As the node has it."""
        ...


@dataclass(frozen=True)
class Contained:
    """The first process of a container that numbers its own."""

    entered: subprocess.Popen[str]
    pid: int


def busy_first(libraries: str, one: ShareResult, kernel_ns: int) -> Contained:
    """As `busy`, as the first process of a PID namespace; it ends with the one that entered."""
    command = [str(BENCH), "busy", str(kernel_ns), str(LONGEST_MS)]
    isolation = ("-m", "-p", "--mount-proc", "--kill-child")
    entered = start(libraries, one, *command, isolation=isolation)
    children = Path(f"/proc/{entered.pid}/task/{entered.pid}/children")
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (found := children.read_text().split()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {entered.pid} has entered nothing")
    return Contained(entered, int(found[0]))


def busy(libraries: str, one: ShareResult, kernel_ns: int | str) -> subprocess.Popen[str]:
    """A program that wants all of the GPU until it is killed; of several lengths, by turns, between commas."""
    return start(libraries, one, BENCH, "busy", str(kernel_ns), str(LONGEST_MS))


@dataclass(frozen=True)
class Sight:
    """What each process had kept the GPU busy by then, on the simulated device's clock."""

    at_ns: int
    busy_ns: dict[int, int]


def part(looks: Sequence[Sight], *processes: Worker) -> float:
    """Of the time between the first look and the last, what these processes had the GPU for."""
    first, last = looks[0], looks[-1]
    ran = sum(last.busy_ns[process.pid] - first.busy_ns.get(process.pid, 0) for process in processes)
    return ran / (last.at_ns - first.at_ns)


def wait_until_it_runs(libraries: str, process: Worker) -> None:
    """Until it has had the GPU."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not any(sight.busy_ns.get(process.pid) for sight in watch(libraries, 10)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {process.pid} has not run")


def wait_for_part(libraries: str, process: Worker, is_right: Callable[[float], bool], what: str) -> None:
    """Until what it had in a window is as it should be."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not is_right(found := part(watch(libraries, _WINDOW_MS, 2), process)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: it has {found:.2f}")


def watch(libraries: str, period_ms: int, count: int = 1) -> list[Sight]:
    """Looks at what the GPU really ran, one after each period."""
    root = root_of(libraries)
    command = [str(WATCH), str(period_ms), str(count)]
    text = subprocess.run(
        command,
        env={**os.environ, "FAKE_GPU_ROOT": root},
        capture_output=True,
        text=True,
        timeout=_WATCH_SECONDS,
        check=True,
    ).stdout
    found: dict[int, dict[int, int]] = {}
    for line in text.splitlines():
        at, pid, ran = map(int, line.split())
        found.setdefault(at, {})[pid] = ran
    if len(found) > count:
        raise ValueError(f"{count} looks at {len(found)} times: {text}")
    return [Sight(at, ran) for at, ran in found.items()]
