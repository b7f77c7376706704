"""The test bed: a cluster with fake GPUs on its nodes and the driver installed."""

from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat

from testbed import chart, clusters, doctor
from testbed.backend import Backend
from testbed.choice import Choice
from testbed.images import Images, built_images
from testbed.kubectl import Kubectl
from testbed.names import DRIVER, NAMESPACE, PROFILES, RELEASE
from testbed.reading import Json
from testbed.waiting import until

NODE_TRACES = """
find /run/hami/shares /var/run/cdi -mindepth 1 2>/dev/null
cd /var/lib/kubelet/plugins/gpu.hami.io && cat checkpoint* claims/* 2>/dev/null | tr ',{}' '\\n\\n\\n'
true
"""


@dataclass(frozen=True)
class Testbed:
    """What tests and the demo do with the cluster as a whole."""

    __test__ = False
    cluster: Backend
    images: Images

    def up(self) -> None:
        """Have the cluster run, with fake GPUs on every node and the images on all of them."""
        self.cluster.up([self.images.driver.archive, self.images.workload.archive])
        for node, profile in zip(self.nodes, chain(PROFILES, repeat(PROFILES[0])), strict=False):
            self.cluster.put_gpus(node, profile)

    def install_driver(self, allocator: str, **values: str) -> None:
        """Install the chart, or switch it to other `values`; returns when every node publishes its GPUs.

        In the name of a value "__" stands for the dot.
        """
        more = {name.replace("__", "."): value for name, value in values.items()}
        chart.install(self.kubectl, allocator, self.images.driver.tag, more)
        for node in self.nodes:
            until(partial(self.published, node, allocator), f"node {node} publishes its GPUs for {allocator}")

    @property
    def nodes(self) -> list[str]:
        """Node `i` has the GPUs of profile `i`; those beyond have the first."""
        return self.cluster.nodes

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
        return self.kubectl.items("resourceclaims", everywhere=True)

    def doctor(self) -> str:
        """What ``hami-dra doctor`` says of a sound cluster; raises CommandError with its findings of any other."""
        return doctor.check(self.cluster.kubeconfig)

    def plugin_pod(self, node: str) -> Json:
        """The kubelet plugin's pod on a node: the new one, while that which it replaced is still on its way out."""
        pods = self.kubectl.within(NAMESPACE).items("pods", labels="app.kubernetes.io/component=kubelet-plugin")
        here = [pod for pod in pods if pod["spec"].get("nodeName") == node]
        return min(here, key=lambda pod: "deletionTimestamp" in pod["metadata"], default={})

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
            return self.cluster.kill_process_in_node(node, process, full=by_command_line)

        until(killed, f"{process} runs on {node} and is killed")

    def reboot(self, node: str) -> None:
        self.cluster.reboot(node)

    def traces(self, node: str) -> list[str]:
        """Every file of ours on a node and every word of the checkpoint, a line each."""
        return self.cluster.node_exec(node, ["sh", "-c", NODE_TRACES]).splitlines()

    def usage_bytes(self, node: str) -> list[int]:
        """The sizes of the usage files on a node."""
        sizes = self.cluster.node_exec(node, ["sh", "-c", "stat -c %s /run/hami/shares/*/usage"])
        return [int(size) for size in sizes.split()]

    def daemon_logs(self) -> str:
        """The newest lines that both daemons logged, for a failed test."""
        within = self.kubectl.within(NAMESPACE)
        select = f"app.kubernetes.io/instance={RELEASE}"
        return within("logs", "--selector", select, "--all-containers", "--prefix", "--tail=60", "--ignore-errors")


def testbed(name: str, choice: Choice) -> Testbed:
    """The test bed of that name on the cluster that was chosen; builds what is missing, starts nothing."""
    return Testbed(clusters.backend(choice, name), built_images(choice.cluster))
