"""The test bed: a local cluster with fake GPUs on its nodes and the driver installed."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cluster.api import Cluster
from cluster.errors import UsageError
from testbed import accounting, chart, fakes
from testbed.images import Images
from testbed.kubectl import Json, Kubectl
from testbed.names import DRIVER, NAMESPACE, PROFILES, RELEASE
from testbed.waiting import until

NODE_TRACES = """
find /run/hami/shares /var/run/cdi -mindepth 1 2>/dev/null
cat /var/lib/kubelet/plugins/gpu.hami.io/checkpoint* 2>/dev/null | tr ',{}' '\\n\\n\\n'
"""


@dataclass(frozen=True)
class Testbed:
    """What tests and the demo do with the cluster as a whole."""

    __test__ = False
    cluster: Cluster
    images: Images

    def up(self) -> None:
        """Have the cluster run, with fake GPUs on every node and the images on all of them."""
        for node in PROFILES:
            self.install_fakes(node)
        self.cluster.up(list(PROFILES), [self.images.driver.archive, self.images.workload.archive])

    def install_fakes(self, node: str) -> None:
        layout = self.cluster.layout.node(node)
        fakes.install(node, layout.opt, layout.cdi)

    def install_driver(self, allocator: str) -> None:
        """Install the chart, or switch it to another allocator; returns when every node publishes its GPUs."""
        chart.install(self.kubectl, allocator, self.images.driver.tag)
        for node in self.cluster.nodes:
            until(partial(self.published, node, allocator), f"node {node} publishes its GPUs for {allocator}")

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.cluster.programs, self.cluster.kubeconfig)

    def slices(self, node: str = "") -> list[Json]:
        listed = self.kubectl.items("resourceslices")
        return [s for s in listed if s["spec"]["driver"] == DRIVER and node in ("", s["spec"].get("nodeName"))]

    def published(self, node: str, allocator: str) -> bool:
        """Whether the node's GPUs are published, with the taint that `allocator` wants or without it."""
        devices = [device for piece in self.slices(node) for device in piece["spec"].get("devices", [])]
        return bool(devices) and all(bool(d.get("taints")) == (allocator == "controller") for d in devices)

    def claims(self) -> list[Json]:
        return self.kubectl.items("resourceclaims", "--all-namespaces")

    def overallocated(self) -> list[str]:
        return accounting.overallocated(self.slices(), self.claims(), DRIVER)

    def plugin_pod(self, node: str) -> Json:
        """The kubelet plugin's pod on a node."""
        pods = self.kubectl.within(NAMESPACE).items("pods", "-l", "app.kubernetes.io/component=kubelet-plugin")
        return next((pod for pod in pods if pod["spec"].get("nodeName") == node), {})

    def driver_ready(self, node: str, *, timeout: float = 120) -> None:
        """Until the node is Ready, its plugin runs and its GPUs are published."""

        def ready() -> bool:
            conditions = self.plugin_pod(node).get("status", {}).get("conditions", [])
            up = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            return up and bool(self.slices(node))

        self.cluster.wait_ready()
        until(ready, f"the kubelet plugin on {node} is ready", timeout=timeout)

    def kill_in_node(self, node: str, process: str) -> None:
        """SIGKILL a process on a node, waiting for it to be there: one of ours is named by its command line."""
        by_command_line = process.startswith("hami-dra")

        def killed() -> bool:
            try:
                self.cluster.kill_process_in_node(node, process, full=by_command_line)
            except UsageError:
                return False
            return True

        until(killed, f"{process} runs on {node} and is killed")

    def reboot(self, node: str) -> None:
        self.cluster.reboot(node)

    def traces(self, node: str) -> list[str]:
        """Every file of ours on a node and every word of the checkpoint, a line each."""
        return self.cluster.node_exec(node, ["sh", "-c", NODE_TRACES], check=False).stdout.splitlines()

    def usage_bytes(self, node: str) -> list[int]:
        """The sizes of the usage files on a node."""
        sizes = self.cluster.node_exec(node, ["sh", "-c", "stat -c %s /run/hami/shares/*/usage"], check=False)
        return [int(size) for size in sizes.stdout.split()]

    def daemon_logs(self) -> str:
        """The newest lines that both daemons logged, for a failed test."""
        within = self.kubectl.within(NAMESPACE)
        select = f"app.kubernetes.io/instance={RELEASE}"
        return within("logs", "--selector", select, "--all-containers", "--prefix", "--tail=60", "--ignore-errors")


def testbed(name: str, images: Images) -> Testbed:
    """The test bed of that name; nothing is started."""
    return Testbed(Cluster(name), images)


def kubeconfig_line(path: Path) -> str:
    return f"export KUBECONFIG={path}"
