"""The tenant cannot raise its limit, whatever it does inside its container."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from testbed.reading import Json
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
    "LD_PRELOAD of the driver": "LD_PRELOAD=libcuda.so.1 gpu-sample alloc 1001",
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


def test_volumes_over_our_files_raise_no_limit(stories: Stories) -> None:
    """The runtime mounts ours over them, or the container does not start."""
    with stories("tenant") as story:
        story.apply("pod.yaml")
        story.kubectl("create", "configmap", "empty", "--from-literal=ld.so.preload=")
        story.kubectl.apply_text(pod_with("volumes", [container(at, at) for at in VOLUMES]))
        story.running("volumes")
        for name in map(container_name, VOLUMES):
            assert "OUT_OF_MEMORY" in try_beyond(story, "volumes", name)


def test_the_nodes_namespaces_raise_no_limit(stories: Stories) -> None:
    """Root that sees every process of the node makes itself no share of another container's files."""
    with stories("tenant") as story:
        story.apply("pod.yaml")
        story.running("tenant")
        host = {"hostPID": True, "hostIPC": True, "hostNetwork": True}
        story.kubectl.apply_text(pod_with("host", [container("cuda", "")], **host))
        story.running("host")
        assert "OUT_OF_MEMORY" in try_beyond(story, "host", "cuda", FROM_PROC)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(": > $f", id="truncated"),
        pytest.param("dd if=/dev/zero of=$f bs=4096 count=65 conv=notrunc 2>/dev/null", id="zeroed"),
        pytest.param("truncate -s 1G $f", id="grown"),
        pytest.param("truncate -s 1G $f; chmod 0 $f; chown 1000:1000 $f", id="grown and given away"),
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


VOLUMES = ("/run", "/run/hami", "/run/hami/shares", "/etc/ld.so.preload")
FROM_PROC = """
for root in /proc/[0-9]*/root; do
  for share in $root/run/hami/shares/*; do
    mkdir -p /tmp/run/hami; ln -sfn $share /run/hami/shares/ 2>/dev/null; ln -sfn $share /tmp/run/hami/
  done
done
for v in $(env | sed -n "s/^\\(HAMI_SHARE_[^=]*\\)=.*/\\1/p"); do unset "$v"; done
"""


def try_beyond(story: Story, pod: str, name: str, first: str = "") -> str:
    """What a program says that wants more than the share, after `first`."""
    return story.kubectl.exec(pod, "sh", "-c", f"{first}\ngpu-sample alloc 1001 2>&1; true", container=name)


def container_name(at: str) -> str:
    return at.strip("/").replace("/", "-").replace(".", "-")


def container(name: str, at: str) -> Json:
    """A container with the pod's share and a volume at that path, if any: a file of the ConfigMap, or a folder."""
    mounts: list[Json] = [{"name": "folder", "mountPath": at}] if at else []
    if at.endswith("preload"):
        mounts = [{"name": "file", "mountPath": at, "subPath": "ld.so.preload"}]
    return {
        "name": container_name(name),
        "image": "localhost/hami-dra/workload:dev",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
        "volumeMounts": mounts,
        "resources": {"claims": [{"name": "gpu"}]},
    }


def pod_with(name: str, containers: list[Json], **more: bool) -> str:
    """A pod whose containers share one claim."""
    volumes: list[Json] = [{"name": "folder", "emptyDir": {}}]
    if any(mount["name"] == "file" for each in containers for mount in each["volumeMounts"]):
        volumes.append({"name": "file", "configMap": {"name": "empty"}})
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "tenant"}],
        "containers": containers,
        "volumes": volumes,
        **more,
    }
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


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
