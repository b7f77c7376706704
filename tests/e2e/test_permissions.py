"""What the kernel says that the daemons may do while they run, as docs/permissions.md has it."""

import pytest

from testbed.bed import Testbed
from testbed.names import NAMESPACE, RELEASE

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

CAPABILITIES = {"DAC_OVERRIDE": 1, "FOWNER": 3, "SYS_CHROOT": 18, "SYS_PTRACE": 19}


def status(bed: Testbed, pod: str) -> dict[str, str]:
    """What a program in a pod's container reads of itself; one that is started there gets no more than the daemon."""
    text = bed.kubectl.within(NAMESPACE).exec(pod, "cat", "/proc/self/status")
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def writes(bed: Testbed, pod: str, folder: str = "/opt/hami-dra") -> str:
    """What becomes of a write into the image, or into what is mounted."""
    return bed.kubectl.within(NAMESPACE).exec(pod, "sh", "-c", f"touch {folder}/x 2>&1; true")


def test_the_daemons_run_with_what_the_docs_say_and_no_more(bed: Testbed) -> None:
    """No privileged container on nodes that do not force it; the controller has nothing at all."""
    plugin = bed.plugin_pod(bed.nodes[0])
    found = status(bed, plugin["metadata"]["name"])
    wanted = sum(1 << bit for bit in CAPABILITIES.values())
    assert [int(found[each], 16) for each in ("CapPrm", "CapEff", "CapBnd")] == [wanted] * 3
    assert int(found["CapAmb"], 16) == 0
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert plugin["spec"]["hostPID"]
    assert "Read-only file system" in writes(bed, plugin["metadata"]["name"])
    assert "Read-only file system" in writes(bed, plugin["metadata"]["name"], "/host")

    controller = f"deployment/{RELEASE}-controller"
    found = status(bed, controller)
    assert [int(found[each], 16) for each in ("CapPrm", "CapEff", "CapBnd", "CapAmb")] == [0] * 4
    assert (found["Uid"].split()[0], found["NoNewPrivs"], found["Seccomp"]) == ("65532", "1", "2")
    assert "Read-only file system" in writes(bed, controller)
