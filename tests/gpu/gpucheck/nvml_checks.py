"""What NVML and nvidia-smi show inside a share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from gpucheck.errors import LeftOut
from gpucheck.places import Way
from gpucheck.rig import MIB, Rig, expect
from gpucheck.sources import WORKLOADS
from gpucheck.steps import Step
from gpucheck.worker import worker_in

PART = "NVML and nvidia-smi"


def steps() -> Iterator[Step]:
    """Each of these checks."""
    yield Step(PART, "NVML's memory calls show the share", check_nvml, 30)
    yield Step(PART, "nvidia-smi shows the share", check_smi, 40)
    yield Step(PART, "nvidia-smi's table shows the share, and nothing goes to standard error", check_smi_table, 40)


def check_nvml(rig: Rig) -> str:
    """Total and used of both versions, and the process that holds memory, asked by another program."""
    with rig.share() as place, worker_in(rig, place) as worker:
        worker.must(f"a 1 {64 * MIB}")
        free, total = worker.memory()
        text = rig.run_well(place, rig.python, WORKLOADS / "ask_nvml.py", rig.driver, rig.uuid)
        pid = worker.pid
    found = json.loads(text.splitlines()[-1])
    for version in ("v1", "v2"):
        expect(found[version]["total"] == rig.limit_bytes, f"{version} shows a total of {found[version]['total']}")
    if not rig.shares_ledger:
        return "total only: a program that is started apart has a ledger of its own"
    for version in ("v1", "v2"):
        difference = abs(found[version]["used"] - (total - free))
        expect(difference <= 2 * MIB, f"{version} shows {found[version]['used']} used, cuMemGetInfo {total - free}")
    others = sorted(set(found["pids"]) - {pid})
    expect(pid in found["pids"] and not others, f"processes {found['pids']}, wanted {pid} alone")
    return f"{found['v1']['used'] // MIB} of {total // MIB} MiB used by process {pid}"


def _smi(rig: Rig) -> str:
    if not Path(rig.smi).exists():
        raise LeftOut("there is no nvidia-smi")
    return rig.smi


def check_smi(rig: Rig) -> str:
    """By its query, which programs parse."""
    query = [f"--id={rig.uuid}", "--query-gpu=memory.total,memory.used", "--format=csv,noheader,nounits"]
    bare = rig.run(rig.places.bare, _smi(rig), *query)
    if bare.status:
        raise LeftOut(f"it fails without a share too: {bare.last_line}")
    with rig.share() as place:
        text = rig.run_well(place, rig.smi, *query).strip()
    expect(text.split(",")[0].strip() == str(rig.limit_mib), f"{text!r} for a share of {rig.limit_mib} MiB")
    return f"{text} MiB, the GPU's {bare.output.strip()}"


def check_smi_table(rig: Rig) -> str:
    """As people look at it; what reads its output would stumble over lines of ours."""
    bare = rig.run(rig.places.bare, _smi(rig))
    if bare.status:
        raise LeftOut(f"it fails without a share too: {bare.last_line}")
    with rig.share() as place:
        shared = rig.run(place, rig.smi)
    expect(shared.status == 0 and not shared.errors, f"status {shared.status}: {shared.errors[:300]}")
    total = f"/ {rig.limit_mib}MiB"
    if rig.places.way is not Way.VARIABLES:
        expect(total in " ".join(shared.output.split()), f"no {total!r} in its table")
    return total
