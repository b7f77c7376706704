"""A hollow cluster as tests and benchmarks see it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from cluster.api import Cluster
from cluster.control_plane import API_SERVER, CONTROLLER_MANAGER, SCHEDULER
from cluster.credentials import ADMIN
from cluster.settings import Settings
from hami_dra.kube.transport import Client, connect
from hollow.chart import CONTROLLER, Chart, render, wait_for_policies
from hollow.controllers import Controllers, source_environment
from hollow.credentials import service_account_kubeconfig
from hollow.fleet import Fleet
from hollow.gpus import H100, Model
from testbed.kubectl import Kubectl
from testbed.names import NAMESPACE

KUBELET = "hollow-kubelet"

FLAGS: Mapping[str, Sequence[str]] = {
    # Nobody renews the Leases of hollow nodes, so nobody may look at them.
    API_SERVER: ["--disable-admission-plugins=TaintNodesByCondition"],
    CONTROLLER_MANAGER: [
        "--controllers=-node-lifecycle-controller,-taint-eviction-controller",
        "--kube-api-qps=5000",
        "--kube-api-burst=5000",
    ],
    SCHEDULER: ["--kube-api-qps=5000", "--kube-api-burst=5000"],
}


class HollowCluster:
    """One hollow cluster, by its name; it need not exist yet. `allocator`: controller or scheduler."""

    def __init__(self, name: str, allocator: str = "controller", settings: Settings | None = None) -> None:
        self.cluster = Cluster(name, settings)
        self.allocator = allocator

    def up(self, flags: Mapping[str, Sequence[str]] | None = None, values: Mapping[str, object] | None = None) -> None:
        """Have a control plane run with the chart's objects; no nodes, no controller.

        `flags` come after those that hollow nodes need, `values` are the chart's.
        """
        more = flags or {}
        merged = {part: [*FLAGS.get(part, ()), *more.get(part, ())] for part in {**FLAGS, **more}}
        self.cluster.up([], flags=merged)
        chart = render(self.kubectl, {"allocator": self.allocator, **(values or {})})
        chart.apply(self.kubectl)
        self._write_controller_files(chart)
        if self.allocator == "controller":
            wait_for_policies(self.client)

    def down(self, *, keep_logs: bool = False) -> None:
        """Remove every process and file."""
        if "client" in self.__dict__:
            self.client.close()
            del self.client
        self.cluster.down(keep_logs=keep_logs)

    def fleet(self, gpus_per_node: int = 8, models: Sequence[Model] = (H100,), prefix: str = "hollow") -> Fleet:
        """Nodes that can be added."""
        reserve = self.allocator == "controller"
        return Fleet(self.client, reserve, gpus_per_node=gpus_per_node, models=models, prefix=prefix)

    def start_kubelet(self, finish_after: float | None = None, kubeconfig: Path | None = None) -> None:
        """Start the process that plays all kubelets, if it is not running."""
        path = kubeconfig or self.admin_kubeconfig(inside=True)
        argv = [sys.executable, "-m", "hollow.kubelet", f"--kubeconfig={path}"]
        argv += [f"--finish-after={finish_after}"] if finish_after is not None else []
        self.cluster.start_process(KUBELET, argv, source_environment({}))

    def kill_kubelet(self) -> None:
        self.cluster.kill_process(KUBELET)

    @property
    def controllers(self) -> Controllers:
        """Replicas of our controller."""
        return Controllers(self.cluster, self._folder / "config.yaml", self._folder / "controller.kubeconfig")

    @cached_property
    def client(self) -> Client:
        """An admin's client, from the host."""
        return connect(str(self.cluster.kubeconfig))

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.cluster.programs, self.cluster.kubeconfig)

    def admin_kubeconfig(self, *, inside: bool) -> Path:
        """An admin's, from the host or from inside the cluster's network."""
        if not inside:
            return self.cluster.kubeconfig
        return self.cluster.control_plane.client_kubeconfig("hollow-admin", ADMIN.organization, inside=True)

    def controller_kubeconfig(self, server: str) -> Path:
        """A further kubeconfig of the controller's ServiceAccount, to reach the API server at this address."""
        path = self._folder / f"controller-{server.translate(str.maketrans(':/', '__'))}.kubeconfig"
        self._write_controller_kubeconfig(path, server)
        return path

    @property
    def _folder(self) -> Path:
        return self.cluster.layout.root / "hollow"

    def _write_controller_files(self, chart: Chart) -> None:
        self._folder.mkdir(exist_ok=True)
        (self._folder / "config.yaml").write_text(chart.controller_config)
        server = self.cluster.control_plane.server(inside=True)
        self._write_controller_kubeconfig(self._folder / "controller.kubeconfig", server)

    def _write_controller_kubeconfig(self, path: Path, server: str) -> None:
        authority = self.cluster.layout.pki / "ca.crt"
        text = service_account_kubeconfig(self.client, NAMESPACE, CONTROLLER, server=server, authority=authority)
        path.touch(mode=0o600)
        path.write_text(text)


@contextmanager
def hollow_cluster(
    name: str,
    allocator: str = "controller",
    *,
    flags: Mapping[str, Sequence[str]] | None = None,
    values: Mapping[str, object] | None = None,
    settings: Settings | None = None,
) -> Iterator[HollowCluster]:
    """A hollow cluster that is new, and gone afterwards."""
    made = HollowCluster(name, allocator, settings)
    made.down()
    try:
        made.up(flags, values)
        yield made
    finally:
        made.down()
