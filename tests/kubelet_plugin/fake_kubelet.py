"""kubelet's side of the sockets, and a running plugin."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from fake_api_server import FakeApiServer
from plugin_objects import BOOT, NODE, FakeGpus, Node

from hami_dra.api import names
from hami_dra.api.pb import dra_v1_pb2 as v1
from hami_dra.api.pb import dra_v1_pb2_grpc as v1_grpc
from hami_dra.api.pb import dra_v1beta1_pb2 as v1beta1
from hami_dra.api.pb import dra_v1beta1_pb2_grpc as v1beta1_grpc
from hami_dra.api.pb import pluginregistration_pb2 as registration
from hami_dra.api.pb import pluginregistration_pb2_grpc as registration_grpc
from hami_dra.kube.transport import Client
from hami_dra.kubelet_plugin import sockets
from hami_dra.kubelet_plugin.plugin import Outside, Plugin
from hami_dra.kubelet_plugin.settings import Settings

SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
SLICE = f"{SLICES}/{NODE}-{names.DRIVER}-00000"


@dataclass
class Kubelet:
    """The two sockets, as kubelet finds and uses them."""

    registry: Path
    server: FakeApiServer
    port: int
    registrar: str = f"{names.DRIVER}-reg.sock"

    def info(self, timeout: float = 5.0) -> registration.PluginInfo:
        """GetInfo."""
        with self._dial(self.registry / self.registrar) as channel:
            return registration_grpc.RegistrationStub(channel).GetInfo(registration.InfoRequest(), timeout=timeout)

    def register(self, *, accepted: bool = True) -> None:
        """NotifyRegistrationStatus."""
        status = registration.RegistrationStatus(plugin_registered=accepted, error="" if accepted else "no")
        with self._dial(self.registry / self.registrar) as channel:
            registration_grpc.RegistrationStub(channel).NotifyRegistrationStatus(status, timeout=5)

    def prepare(self, *uids: str) -> v1.NodePrepareResourcesResponse:
        """NodePrepareResources, v1."""
        claims = [v1.Claim(namespace="default", name=uid, uid=uid) for uid in uids]
        with self._dial(Path(self.info().endpoint)) as channel:
            request = v1.NodePrepareResourcesRequest(claims=claims)
            return v1_grpc.DRAPluginStub(channel).NodePrepareResources(request, timeout=30)

    def prepare_beta(self, uid: str) -> v1beta1.NodePrepareResourcesResponse:
        """NodePrepareResources, v1beta1."""
        claims = [v1beta1.Claim(namespace="default", name=uid, uid=uid)]
        with self._dial(Path(self.info().endpoint)) as channel:
            request = v1beta1.NodePrepareResourcesRequest(claims=claims)
            return v1beta1_grpc.DRAPluginStub(channel).NodePrepareResources(request, timeout=5)

    def unprepare(self, uid: str) -> str:
        """NodeUnprepareResources, v1."""
        claims = [v1.Claim(namespace="default", name=uid, uid=uid)]
        with self._dial(Path(self.info().endpoint)) as channel:
            request = v1.NodeUnprepareResourcesRequest(claims=claims)
            return v1_grpc.DRAPluginStub(channel).NodeUnprepareResources(request, timeout=5).claims[uid].error

    def get(self, path: str) -> tuple[int, str]:
        """What a probe gets."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def devices(self) -> list[dict[str, Any]]:
        """What is published now."""
        return [d for s in self.server.objects(SLICES) for d in s["spec"].get("devices", [])]

    @contextmanager
    def _dial(self, socket: Path) -> Iterator[grpc.Channel]:
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            yield channel


def outside(client: Client, gpus: FakeGpus, node: Node, stopping: threading.Event | None = None) -> Outside:
    """A node's surroundings, with fakes for the driver and the host's processes."""
    return Outside(
        client=client,
        gpus=gpus,
        toolkit=node.toolkit,
        health=node.health,
        sampler=node.sampler,
        find_container=node.containers.get,
        consumers=node.consumers,
        device_ids=node.consumers,
        processes=node.processes,
        boot_id=BOOT,
        stopping=stopping or threading.Event(),
    )


@contextmanager
def running(settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node) -> Iterator[Kubelet]:
    """A started plugin; its Node exists."""
    plugin = Plugin(settings, outside(client, gpus, node))
    plugin.start()
    try:
        registrar = sockets.registration_socket(settings.registry_dir, settings.pod_uid).name
        yield Kubelet(settings.registry_dir, server, plugin.http_port, registrar)
    finally:
        plugin.stop()
