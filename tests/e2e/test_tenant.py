"""The tenant cannot raise its limit, whatever it does inside its container."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.story import Story
from testbed.waiting import until

Stories = Callable[[str], AbstractContextManager[Story]]

ATTEMPTS = {
    "empty environment": "env -i /usr/local/bin/gpu-sample alloc 1001",
    "share variable raised": (
        'for v in $(env | sed -n "s/^\\(HAMI_SHARE_[^=]*\\)=.*/\\1/p"); do '
        'export "$v=uuid=GPU-0,memory=99999999999,cores=100"; done; gpu-sample alloc 1001'
    ),
    "LD_PRELOAD of something else": "LD_PRELOAD=/lib/x86_64-linux-gnu/libm.so.6 gpu-sample alloc 1001",
    "HAMi-core variables": "CUDA_DEVICE_MEMORY_LIMIT=90g CUDA_DEVICE_MEMORY_LIMIT_0=90g gpu-sample alloc 1001",
    "limits overwritten": (
        'for f in /run/hami/shares/*/limits; do echo "memory 99999999999" > $f; done; gpu-sample alloc 1001'
    ),
    "limits removed": "rm -rf /run/hami/shares/*; gpu-sample alloc 1001",
    "a share of its own": (
        "mkdir -p /run/hami/shares/00000000-0000-0000-0000-000000000001; "
        "cp /run/hami/shares/*-*/* /run/hami/shares/00000000-0000-0000-0000-000000000001/; gpu-sample alloc 1001"
    ),
    "share folder moved": "mv /run/hami /run/other; gpu-sample alloc 1001; mv /run/other /run/hami",
    "folders of the mounts renamed": (
        "for d in $(dirname $(cat /etc/ld.so.preload)) /etc /run/hami/shares /run/hami; do "
        "perl -e 'rename $ARGV[0], $ARGV[1]' $d $d.moved; gpu-sample alloc 1001; "
        "perl -e 'rename $ARGV[0], $ARGV[1]' $d.moved $d; done"
    ),
    "preload file removed": "rm -f /etc/ld.so.preload; (: > /etc/ld.so.preload); gpu-sample alloc 1001",
    "every path to the driver": "gpu-sample paths 1001",
    "a setuid program": "cp /usr/local/bin/gpu-sample /tmp/s; chmod u+s /tmp/s; setpriv --reuid=1000 /tmp/s alloc 1001",
}


def test_no_attempt_of_the_tenant_raises_its_limit(stories: Stories) -> None:
    """After each attempt 1001 MiB of a 1000 MiB share are still refused, and 900 still granted."""
    with stories("tenant") as story:
        story.apply("pod.yaml")
        story.running("tenant")
        for what, attempt in ATTEMPTS.items():
            said = story.kubectl.exec("tenant", "sh", "-c", f"({attempt}) 2>&1; true")
            assert "allocated 1001" not in said, what
            assert "OUT_OF_MEMORY" in said, f"{what}: {said}"
        assert "allocated 900 MiB" in story.kubectl.exec("tenant", "gpu-sample", "alloc", "900")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(": > $f", id="truncated"),
        pytest.param("dd if=/dev/zero of=$f bs=4096 count=65 conv=notrunc 2>/dev/null", id="zeroed"),
        pytest.param("truncate -s 1G $f", id="grown"),
    ],
)
def test_a_damaged_usage_file_harms_nobody_else(
    stories: Stories, damage: str, node_usage_bytes: Callable[[str], list[int]]
) -> None:
    """A neighbour still holds and allocates; the plugin goes on and cuts a grown file back."""
    with stories("tenant") as story:
        story.apply("pod.yaml")
        story.kubectl.apply_text(NEIGHBOUR)
        story.running("tenant")
        node = story.running("neighbour")["spec"]["nodeName"]
        story.kubectl.exec("tenant", "sh", "-c", f"for f in /run/hami/shares/*/usage; do {damage}; done")
        said = story.kubectl.exec("tenant", "sh", "-c", "gpu-sample alloc 1001 2>&1; true")
        assert "allocated 1001" not in said
        assert "allocated 900 MiB" in story.kubectl.exec("neighbour", "gpu-sample", "alloc", "900")
        assert "OUT_OF_MEMORY" in story.kubectl.exec("neighbour", "sh", "-c", "gpu-sample alloc 1001 || true")
        until(lambda: all(size <= 1 << 20 for size in node_usage_bytes(node)), "no usage file stays grown")


NEIGHBOUR = """
apiVersion: v1
kind: Pod
metadata: {name: neighbour}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  resourceClaims: [{name: gpu, resourceClaimTemplateName: tenant}]
  containers:
    - name: cuda
      image: localhost/hami-dra/workload:dev
      imagePullPolicy: IfNotPresent
      command: [sleep, infinity]
      resources: {claims: [{name: gpu}]}
"""
