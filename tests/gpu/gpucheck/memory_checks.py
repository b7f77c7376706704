"""The memory limit as programs and their neighbours see it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from itertools import count

from gpucheck.errors import LeftOut
from gpucheck.ledger import TOTAL_CHARGED, read_total
from gpucheck.places import Place, Way
from gpucheck.rig import DENIED, MIB, Rig, expect
from gpucheck.share_layout import Terms
from gpucheck.steps import Step
from gpucheck.worker import OUT_OF_MEMORY, Worker, free_in_share, worker_in

PART = "memory of a share"
_OTHER_GPU = "GPU-00000000-0000-4000-8000-00000000dead"
_RACERS = 8
_RECLAIM_S = 10.0


def steps() -> Iterator[Step]:
    """Each of these checks."""
    yield Step(PART, "total and free memory are the share's", check_info, 20)
    yield Step(PART, "every way to a driver function meets the limit", check_paths, 40)
    yield Step(PART, "limit by environment and LD_PRELOAD", check_variables, 30)
    yield Step(PART, "limit by HAMi-core's variables", check_hami_variables, 30)
    yield Step(PART, "no variable raises the limit", check_environment, 30)
    yield Step(PART, "a GPU without a share gives no memory", check_other_gpu, 20)
    yield Step(PART, "processes of a share have one limit together", check_together, 30)
    yield Step(PART, "kill -9 gives memory back", check_kill, 40)
    yield Step(PART, "processes that start at once never pass the limit", check_race, 60)


def _needs_ledger(rig: Rig) -> None:
    if not rig.shares_ledger:
        raise LeftOut("needs a share that several programs are in")


def check_info(rig: Rig) -> str:
    """cuMemGetInfo and cuDeviceTotalMem."""
    with rig.share() as place:
        text = rig.run_well(place, "gpu-sample", "info")
    line = next((line for line in text.splitlines() if line.startswith("device 0:")), text)
    expect(f"total={rig.limit_bytes} " in line, f"a share of {rig.limit_bytes} bytes is shown as {line!r}")
    return line


def check_paths(rig: Rig) -> str:
    """By link, dlsym and cuGetProcAddress, as libcudart asks for it and otherwise."""
    over, fits = rig.limit_mib + 1, rig.limit_mib // 8
    bare = rig.run(rig.places.bare, "gpu-sample", "paths", over).output.splitlines()
    with rig.share() as place:
        refused = rig.run(place, "gpu-sample", "paths", over).output.splitlines()
        given = rig.run(place, "gpu-sample", "paths", fits).output.splitlines()
    wanted = len([line for line in bare if line.endswith(": allocated")])
    expect(wanted >= 24, f"without a share only {wanted} of {len(bare)} ways work")
    wrong = [line for line in refused if not line.endswith("CUDA_ERROR_OUT_OF_MEMORY")]
    expect(len(refused) >= wanted and not wrong, f"{over} MiB: {wrong[:3] or refused[-1:]}")
    wrong = [line for line in given if not line.endswith(": allocated")]
    expect(len(given) >= wanted and not wrong, f"{fits} MiB: {wrong[:3] or given[-1:]}")
    return f"{len(refused)} ways"


def _expect_limit(rig: Rig, place: Place) -> None:
    over = rig.run(place, "gpu-sample", "alloc", rig.limit_mib + 1)
    expect(over.status == DENIED, f"{rig.limit_mib + 1} MiB: {over.last_line}")
    rig.run_well(place, "gpu-sample", "alloc", rig.limit_mib // 8)


def check_variables(rig: Rig) -> str:
    """The way without Kubernetes."""
    with rig.share(way=Way.VARIABLES) as place:
        _expect_limit(rig, place)
        with worker_in(rig, place) as worker:
            expect(worker.memory()[1] == rig.limit_bytes, "the total is another one")
    return ""


def check_hami_variables(rig: Rig) -> str:
    """HAMi-core's spelling, with the same library."""
    with rig.share(way=Way.VARIABLES) as place:
        ours = {name: value for name, value in place.environment.items() if name != "HAMI_SHARE_A"}
        _expect_limit(rig, Place({**ours, "CUDA_DEVICE_MEMORY_LIMIT": f"{rig.limit_mib}m"}))
    return ""


def check_environment(rig: Rig) -> str:
    """In a container of ours."""
    _needs_ledger(rig)
    more = f"uuid={rig.uuid},memory={rig.limit_bytes * 2},cores=0"
    tries = {"HAMI_SHARE_A": more, "CUDA_DEVICE_MEMORY_LIMIT": "900g", "CUDA_DEVICE_MEMORY_LIMIT_0": "900g"}
    with rig.share() as place:
        for name, value in tries.items():
            _expect_limit(rig, Place({**place.environment, name: value}, place.enter, place.folder))
    return ", ".join(tries)


def check_other_gpu(rig: Rig) -> str:
    """A share of another GPU is none of this one."""
    with rig.places.share(Terms(_OTHER_GPU, rig.limit_bytes)) as place:
        done = rig.run(place, "gpu-sample", "alloc", 1)
    if rig.places.way is Way.VARIABLES:
        raise LeftOut("with variables a GPU that none of them names is free")
    expect(done.status == DENIED, done.last_line)
    return done.last_line


def check_together(rig: Rig) -> str:
    """What one process holds is missing to the next one."""
    _needs_ledger(rig)
    with rig.share() as place, worker_in(rig, place) as first, worker_in(rig, place) as second:
        free = free_in_share(rig, second)
        first.must(f"a 1 {_even(free * 2 // 3)}")
        code = second.call(f"a 1 {_even(free // 2)}")
        expect(code == OUT_OF_MEMORY, f"half of what was free beside two thirds of it ends with {code}")
        second.must(f"a 1 {_even(free // 4)}")
        if place.usage:
            expect(read_total(place.usage, TOTAL_CHARGED) <= rig.limit_bytes, "more is charged than the limit")
    return f"{free // MIB} MiB free for two"


def check_kill(rig: Rig) -> str:
    """To a process that was there before, without a call in between, and in the GPU's own count."""
    _needs_ledger(rig)
    with rig.share() as place, worker_in(rig, place) as stays, worker_in(rig, place) as dies:
        free = free_in_share(rig, stays)
        size = _even(free * 3 // 4)
        dies.must(f"a 1 {size}")
        expect(stays.call(f"a 1 {size}") == OUT_OF_MEMORY, "the limit is not held before the kill")
        os.kill(dies.pid, signal.SIGKILL)
        seconds = _wait_for_ledger(place, rig.limit_bytes - size)
        began = time.monotonic()
        while stays.call(f"a 1 {size}"):  # the driver itself may take its time
            expect(time.monotonic() - began < _RECLAIM_S, f"{size // MIB} MiB are still refused")
    rig.add_figure("time until it is there again", "memory of a killed process", seconds=round(seconds, 2))
    return f"{size // MIB} MiB in {seconds:.2f} s"


def _wait_for_ledger(place: Place, at_most: int) -> float:
    began = time.monotonic()
    for _ in count():
        seconds = time.monotonic() - began
        if place.usage is None or read_total(place.usage, TOTAL_CHARGED) <= at_most:
            return seconds
        expect(seconds < _RECLAIM_S, f"after {_RECLAIM_S:g} s the ledger still shows what was killed")
        time.sleep(0.01)
    raise AssertionError


def check_race(rig: Rig) -> str:
    """All but one of them fit; they ask at the same moment, and what is charged never passes the limit."""
    _needs_ledger(rig)
    with rig.share() as place, worker_in(rig, place) as probe:
        free = free_in_share(rig, probe)
        context = max(rig.limit_bytes - free, MIB)
        racers = [Worker(rig, place) for _ in range(max(2, min(_RACERS, free // 2 // context)))]
        expect(not any(racer.began for racer in racers), "a context is refused that fits")
        free = free_in_share(rig, probe)
        size = _even((free - 2 * MIB) // (len(racers) - 1))
        for racer in racers:
            racer.tell(f"a 1 {size}")
        codes = [racer.answer() for racer in racers]
        charged = read_total(place.usage, TOTAL_CHARGED) if place.usage else 0
    given = codes.count(0)
    expect(set(codes) <= {0, OUT_OF_MEMORY}, f"calls end with {sorted(set(codes))}")
    expect(given == len(racers) - 1, f"{given} of {len(racers)} got {size // MIB} MiB each of {free // MIB}")
    expect(charged <= rig.limit_bytes, f"{charged} bytes are charged of {rig.limit_bytes}")
    return f"{given} of {len(racers)} got {size // MIB} MiB each of {free // MIB}"


def _even(size: int) -> int:
    return size // (2 * MIB) * 2 * MIB
