"""What the real plugin needs while it holds so many claims: to prepare one more, to start, and of memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import borrowed  # noqa: F401
from busy_node import BusyNode, place
from figures import measure
from plugin_daemon import GPUS, Api, Daemon
from plugin_objects import claim_json, result

PREPARES, STARTS, SCRAPES = 200, 3, 10
SCRAPE_SECONDS = 1.0


@dataclass(frozen=True)
class Grown:
    """Milliseconds of prepares in this process without fsync, of kubelet's calls of the daemon, and of its starts.

    With `cpu`: of the CPU; else by the clock.
    """

    claims: int
    alone: list[float]
    alone_cpu: list[float]
    calls: list[float]
    starts: list[float]
    starts_cpu: list[float]
    rss_mib: float


def grow(root: Path, driver: Path, claims: int) -> Grown:
    """Measure at that many claims."""
    node = BusyNode(place(root, f"node-{claims}"), claims, durable=False)
    alone, alone_cpu = node.prepare(PREPARES), node.prepare_cpu(PREPARES)
    home = place(root, f"daemon-{claims}")
    with Api.serve(home) as api:
        with Daemon.start(home, api, driver, shares_per_gpu=2 * claims) as daemon:
            daemon.register()
            api.wait_for_slices()
            for number in range(claims):
                daemon.prepare(_add(api, number))
            calls = [_call(api, daemon, number) for number in range(claims, claims + PREPARES)]
        starts, starts_cpu = [], []
        for _ in range(STARTS):
            api.drop_slices()
            begun = time.perf_counter()
            with Daemon.start(home, api, driver, shares_per_gpu=2 * claims) as daemon:
                daemon.register()
                api.wait_for_slices()
                starts.append((time.perf_counter() - begun) * 1e3)
                starts_cpu.append(daemon.cpu_ms())
                # It grows by a step a few seconds after the start.
                for _ in range(SCRAPES):
                    daemon.scrape()
                    time.sleep(SCRAPE_SECONDS)
                rss_mib = daemon.memory_mib()
    return Grown(claims, alone, alone_cpu, calls, starts, starts_cpu, rss_mib)


def _add(api: Api, number: int) -> str:
    device = GPUS[number % len(GPUS)].lower()
    consumed = {"memory": "300Mi", "cores": "0", "shares": "1"}
    api.add_claim(claim_json(f"c-{number}", [result(0, number, device=device, consumedCapacity=consumed)]))
    return f"c-{number}"


def _call(api: Api, daemon: Daemon, number: int) -> float:
    name = _add(api, number)
    (taken,) = measure(lambda: daemon.prepare(name), at_most=1, seconds=0)
    daemon.unprepare(name)
    api.drop_claim(name)
    return taken
