"""One GPU that fails among others that do not: the production code against the fake driver."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_nvml import install

from hami_dra.kubelet_plugin.errors import DriverUnavailable
from hami_dra.kubelet_plugin.gpu_filter import GpuFilter
from hami_dra.kubelet_plugin.nvml import NvmlSource
from hami_dra.kubelet_plugin.nvml_health import NvmlHealth
from hami_dra.kubelet_plugin.pci import PciTree

SECOND = "GPU-6d4a8e63"

# A process of its own: pynvml keeps one library for good.
LOOK = """
import json, sys
from pathlib import Path
from hami_dra.kubelet_plugin.errors import DriverInterrupted, DriverUnavailable
from hami_dra.kubelet_plugin.gpu_filter import GpuFilter
from hami_dra.kubelet_plugin.nvml import NvmlSource
from hami_dra.kubelet_plugin.nvml_health import NvmlHealth
from hami_dra.kubelet_plugin.nvml_samples import NvmlSampler
from hami_dra.kubelet_plugin.pci import PciTree
root = Path(sys.argv[1])
faults, source = root / "etc/fake-gpu/faults", NvmlSource(root, PciTree(()), GpuFilter().admits)
sampler, health = NvmlSampler(root, again_seconds=0), NvmlHealth(root, again_seconds=0)
def look():
    found, states = source.read(), health.read()
    return {
        "published": [gpu.minor for gpu in found.gpus],
        "unanswering": [found.unanswering, found.failing],
        "watched": sorted(uuid for uuid, state in states.items() if not state.lost),
        "sampled": sorted(sampler.sample()),
    }
def wait():
    try:
        return health.wait(0.1)
    except DriverInterrupted as error:
        return str(error)
"""

FAILS_LATER = """
found = [look()]
faults.write_text("fails 2 999\\n")
found += [look(), wait(), look(), wait()]
faults.unlink()
found.append(look())
faults.write_text("xid 2 48\\n")
found.append(wait().xid)
print(json.dumps(found))
"""

FAILS_FROM_THE_START = """
faults.write_text(sys.argv[2])
found = [look()]
faults.unlink()
found.append(look())
faults.write_text("xid 2 48\\n")
found.append(wait().xid)
print(json.dumps(found))
"""


def run(root: Path, script: str, *words: str) -> list[Any]:
    """What the script prints."""
    command = [sys.executable, "-c", LOOK + script, str(root), *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told: list[Any] = json.loads(done.stdout)
    return told


def without(look: dict[str, Any], failing: int) -> dict[str, Any]:
    """A look at four GPUs of which GPU 2 gives no answer."""
    kept = [uuid for uuid in look["watched"] if not uuid.startswith(SECOND)]
    return {"published": [0, 1, 3], "unanswering": [1, failing], "watched": kept, "sampled": kept}


def test_a_gpu_that_answers_with_errors_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    """Many that fell off the bus give an unknown error; inventory, health and samples of the others go on."""
    before, failing, interrupted, again, silence, healed, xid = run(install("h100x4", tmp_path / "root"), FAILS_LATER)
    assert failing == again == without(before, failing=1)
    assert "stopped answering: Unknown Error" in interrupted
    assert silence is None
    assert (healed, xid) == (before, 48)


@pytest.mark.parametrize(("fault", "failing"), [("lost 2", 0), ("fails 2 999", 1)], ids=["lost", "unknown error"])
def test_a_gpu_that_answers_only_later_is_watched_from_then_on(tmp_path: Path, fault: str, failing: int) -> None:
    """Over sessions that were open before: its XIDs, its state, its processes."""
    at_first, healed, xid = run(install("h100x4", tmp_path / "root"), FAILS_FROM_THE_START, f"{fault}\n")
    assert at_first == without(healed, failing)
    assert healed["published"] == [0, 1, 2, 3]
    assert (len(healed["watched"]), len(healed["sampled"]), xid) == (4, 4, 48)


def test_a_driver_root_that_cannot_be_looked_at_is_no_crash(tmp_path: Path) -> None:
    """A driver container that was killed may leave a mount that answers with an error."""
    unreadable = tmp_path / ("x" * 300)
    for ask in (NvmlSource(unreadable, PciTree(()), GpuFilter().admits).read, NvmlHealth(unreadable).read):
        with pytest.raises(DriverUnavailable, match="File name too long"):
            ask()


NEVER_SAYS = """
faults.write_text("fails 2 3\\n")
print(json.dumps([look()]))
"""


def test_a_gpu_that_never_says_what_a_device_has_is_left_out(tmp_path: Path) -> None:
    """One without memory of its own, say: it is no GPU that may come back."""
    (found,) = run(install("h100x4", tmp_path / "root"), NEVER_SAYS)
    assert (found["published"], found["unanswering"]) == ([0, 1, 3], [0, 0])
