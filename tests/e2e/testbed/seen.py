"""What a cluster shows of a node's GPUs: published devices, their taints, what the daemons say."""

import contextlib

from testbed.bed import Testbed
from testbed.errors import CommandError
from testbed.names import DRIVER_ROOT, NAMESPACE
from testbed.reading import Json

FAULTS = f"{DRIVER_ROOT}/etc/fake-gpu/faults"
"""The file on a node that makes its fake driver report faults."""


def device(bed: Testbed, name: str) -> Json:
    """A published device."""
    return next(d for s in bed.slices() for d in s["spec"].get("devices", []) if d["name"] == name)


def taints(bed: Testbed, name: str) -> dict[str, str]:
    """Values of a device's taints by key."""
    return {taint["key"]: taint.get("value", "") for taint in device(bed, name).get("taints", [])}


def metrics(bed: Testbed, node: str) -> str:
    """What the node's plugin serves."""
    return _served(bed, bed.plugin_pod(node)["metadata"]["name"])


def plugin_log(bed: Testbed, node: str) -> str:
    """What the plugin's process on a node has logged."""
    return bed.kubectl.within(NAMESPACE)("logs", bed.plugin_pod(node)["metadata"]["name"])


def controller_metrics(bed: Testbed) -> str:
    """What all replicas of the controller serve; one that is ending just now says nothing."""
    pods = bed.kubectl.within(NAMESPACE).items("pods", labels="app.kubernetes.io/component=controller")
    running = [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"]
    served = []
    for pod in running:
        with contextlib.suppress(CommandError):
            served.append(_served(bed, pod))
    return "".join(served)


def _served(bed: Testbed, pod: str) -> str:
    text: str = bed.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics")
    return text
