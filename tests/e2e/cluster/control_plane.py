"""The control plane: how each component is started, in which order, and when it is ready."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cluster import credentials, forward
from cluster.api_probe import ApiProbe
from cluster.errors import ComponentError, UsageError, tail_of
from cluster.layout import API_ADDRESS, SERVICE_RANGE, ClusterLayout
from cluster.network import inside
from cluster.processes import kill, running_pid, spawn
from cluster.record import Record

ETCD, API_SERVER, FORWARD = "etcd", "kube-apiserver", "forward"
CONTROLLER_MANAGER, SCHEDULER = "kube-controller-manager", "kube-scheduler"
COMPONENTS = (ETCD, API_SERVER, FORWARD, CONTROLLER_MANAGER, SCHEDULER)
"""In the order of their start. Stopped the other way round, so that the API server goes before etcd."""

_ETCD_URL = "http://127.0.0.1:2379"
_API_SECONDS = 90.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class ControlPlane:
    """Starts and stops the components of one cluster."""

    layout: ClusterLayout
    record: Record

    def prepare(self) -> None:
        """Certificates and kubeconfigs; made once."""
        pki = self.layout.pki
        credentials.make_authority(pki)
        servers_and_users = (credentials.API_SERVER, credentials.KUBELET_CLIENT, credentials.ADMIN)
        components = (credentials.CONTROLLER_MANAGER, credentials.SCHEDULER)
        for identity in (*servers_and_users, *components):
            credentials.issue(pki, identity)
        for identity in components:
            path = pki / f"{identity.name}.kubeconfig"
            credentials.write_kubeconfig(path, pki, identity, self.server(inside=True))
        credentials.write_kubeconfig(self.layout.kubeconfig, pki, credentials.ADMIN, self.server())

    def start(self) -> None:
        """Start what is not running; returns when the API server is ready and the others have been started."""
        for component in (ETCD, API_SERVER, FORWARD):
            self.start_component(component)
        self.wait_for_api()
        for component in (CONTROLLER_MANAGER, SCHEDULER):
            self.start_component(component)

    def stop(self) -> None:
        """SIGKILL everything: a clean stop of an API server with open watches takes over a minute."""
        for component in reversed(COMPONENTS):
            kill(self.layout.pid_file(component))

    def start_component(self, component: str) -> None:
        """Start a component that is not running."""
        pid_file = self.layout.pid_file(self._known(component))
        if running_pid(pid_file) is None:
            spawn(self._argv(component), pid_file, self.layout.log(component))

    def kill_component(self, component: str) -> None:
        """SIGKILL a component; it stays down until it is started again."""
        kill(self.layout.pid_file(self._known(component)))

    def pid(self, component: str) -> int | None:
        """The pid of a component on the host, if it runs."""
        return running_pid(self.layout.pid_file(self._known(component)))

    def client_kubeconfig(self, user: str, group: str = "", *, inside: bool = False) -> Path:
        """A kubeconfig for a user of this name and group, made once; `inside`: for the cluster's own network."""
        place = "inside" if inside else "host"
        identity = credentials.client_identity(user, group)
        path = self.layout.pki / f"{identity.name}.{place}.kubeconfig"
        credentials.issue(self.layout.pki, identity)
        credentials.write_kubeconfig(path, self.layout.pki, identity, self.server(inside=inside))
        return path

    def server(self, *, inside: bool = False) -> str:
        """The API server's address from the host, or from inside the cluster's network."""
        return f"https://{API_ADDRESS}:443" if inside else f"https://127.0.0.1:{self.record.port}"

    def probe(self) -> ApiProbe:
        """An admin's look at the API server, through the forwarder."""
        return ApiProbe(self.record.port, self.layout.pki, credentials.ADMIN.name)

    def check_alive(self) -> None:
        """Raises ComponentError naming the log of a component that is not running but should be."""
        for component in COMPONENTS:
            pid_file = self.layout.pid_file(component)
            if pid_file.exists() and running_pid(pid_file) is None:
                raise ComponentError(f"{component} ended by itself; {tail_of(self.layout.log(component))}")

    def wait_for_api(self) -> None:
        """Until /readyz says ok; raises ComponentError."""
        probe = self.probe()
        deadline = time.monotonic() + _API_SECONDS
        while not probe.ready():
            self.check_alive()
            if time.monotonic() > deadline:
                log = self.layout.log(API_SERVER)
                raise ComponentError(f"kube-apiserver not ready within {_API_SECONDS:.0f} s; {tail_of(log)}")
            time.sleep(_POLL_SECONDS)

    def _known(self, component: str) -> str:
        if component not in COMPONENTS:
            raise UsageError(f"component {component!r}: wanted one of {', '.join(COMPONENTS)}")
        return component

    def _argv(self, component: str) -> list[str]:
        programs, pki = Path(self.record.programs), self.layout.pki
        if component == FORWARD:
            script = str(Path(forward.__file__))
            return [sys.executable, script, str(self.layout.netns), str(self.record.port), API_ADDRESS]
        flags = {
            ETCD: lambda: etcd_flags(self.layout.etcd),
            API_SERVER: lambda: api_server_flags(pki),
            CONTROLLER_MANAGER: lambda: controller_manager_flags(pki),
            SCHEDULER: lambda: scheduler_flags(pki),
        }[component]()
        return [*inside(self.layout.netns), str(programs / component), *flags, *self.record.flags.get(component, ())]


def etcd_flags(data: Path) -> list[str]:
    # No fsync: these clusters live shorter than the machine, and the disk is what makes etcd slow.
    urls = [f"--listen-client-urls={_ETCD_URL}", f"--advertise-client-urls={_ETCD_URL}"]
    return [f"--data-dir={data}", "--unsafe-no-fsync", "--log-level=warn", *urls]


def api_server_flags(pki: Path) -> list[str]:
    """As kubeadm sets them, where a cluster without kube-proxy and without a service network allows it."""
    return [
        f"--etcd-servers={_ETCD_URL}",
        f"--bind-address={API_ADDRESS}",
        f"--advertise-address={API_ADDRESS}",
        "--secure-port=443",
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        # Webhooks are reached at their pods' addresses: there is no kube-proxy to translate a ClusterIP.
        "--enable-aggregator-routing=true",
        f"--tls-cert-file={pki}/api-server.crt",
        f"--tls-private-key-file={pki}/api-server.key",
        f"--client-ca-file={pki}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--enable-priority-and-fairness=false",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        "--profiling=false",
    ]


def controller_manager_flags(pki: Path) -> list[str]:
    return [
        f"--kubeconfig={pki}/kube-controller-manager.kubeconfig",
        "--leader-elect=false",
        # Without it the controllers act as kube-controller-manager itself and get 403s.
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki}/service-account.key",
        f"--root-ca-file={pki}/ca.crt",
        "--controllers=*,-bootstrap-signer-controller,-token-cleaner-controller",
        "--bind-address=127.0.0.1",
    ]


def scheduler_flags(pki: Path) -> list[str]:
    return [f"--kubeconfig={pki}/kube-scheduler.kubeconfig", "--leader-elect=false", "--bind-address=127.0.0.1"]
