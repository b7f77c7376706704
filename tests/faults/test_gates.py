"""Feature gates of a real API server change under a running plugin, in both directions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_kubelet import Kubelet, outside
from plugin_objects import NODE, FakeGpus, Node, inventory

from cluster.api import Cluster
from cluster.control_plane import API_SERVER
from hami_dra.api.names import DRIVER
from hami_dra.kube.paths import EVENTS, NODES, SLICES, namespaced
from hami_dra.kube.transport import Client, connect
from hami_dra.kubelet_plugin.plugin import Plugin
from hami_dra.kubelet_plugin.settings import Settings
from testbed.turns import worker
from testbed.waiting import until

pytestmark = pytest.mark.cluster

OFF = ("--feature-gates=DRAConsumableCapacity=false",)
LOOK_SECONDS = 5
"""How often the plugin asks; every minute where nothing is said."""
LIMIT_SECONDS = 120.0
"""When the test gives up: the API server needs some seconds to come back, and the plugin backs off meanwhile."""


@dataclass(frozen=True)
class ControlPlane:
    """A cluster without nodes."""

    cluster: Cluster
    client: Client

    def restart_api_server(self, *flags: str) -> None:
        """Kill it and start it with these flags."""
        self.cluster.control_plane.kill_component(API_SERVER)
        self.cluster.up([], flags={API_SERVER: flags})

    def devices(self) -> list[object]:
        """What is published."""
        return [d for s in self.client.list(SLICES).items for d in s["spec"].get("devices", [])]

    def told(self, reason: str) -> list[str]:
        """Messages of Events on the Node."""
        events = self.client.list(namespaced(EVENTS, "default")).items
        return [e["message"] for e in events if e["reason"] == reason and e["involvedObject"]["name"] == NODE]


@pytest.fixture
def control_plane() -> Iterator[ControlPlane]:
    """One whose API server has the gate off."""
    cluster = Cluster("-".join([os.environ.get("HAMI_DRA_GATES_CLUSTER", "gates"), *worker()]))
    cluster.down()
    try:
        cluster.up([], flags={API_SERVER: OFF})
        client = connect(str(cluster.kubeconfig))
        yield ControlPlane(cluster, client)
        client.close()
    finally:
        cluster.down()


def test_gates_that_change_are_seen_without_a_restart(control_plane: ControlPlane, tmp_path: Path) -> None:
    """No GPU is published while a share would book all of it, and the Event names the gate."""
    control_plane.client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    node = Node(tmp_path)
    settings = Settings(
        node_name=NODE,
        library=node.library,
        plugins_dir=node.paths.plugin_dir.parent,
        registry_dir=tmp_path / "reg",
        cdi_dir=node.paths.cdi_dir,
        static_cdi_dir=node.paths.static_cdi_dir,
        run_dir=node.paths.run_dir,
        http_address="127.0.0.1:0",
        gate_look_seconds=LOOK_SECONDS,
    )
    plugin = Plugin(settings, outside(control_plane.client, FakeGpus(inventory()), node))
    plugin.start()
    try:
        kubelet = Kubelet(settings.registry_dir, None, plugin.http_port)  # type: ignore[arg-type]
        kubelet.register()
        (told,) = until(lambda: control_plane.told("DevicesWithdrawn"), "the Event on the Node")
        assert "allowMultipleAllocations" in told
        assert "feature gate DRAConsumableCapacity;" in told
        assert control_plane.devices() == []
        assert kubelet.get("/readyz")[0] == 503
        control_plane.restart_api_server()
        until(lambda: len(control_plane.devices()) == 2, "the GPUs are published", timeout=LIMIT_SECONDS)
        until(lambda: control_plane.told("DevicesPublished"), "the Node hears of it")
        until(lambda: kubelet.get("/readyz") == (200, "ok\n"), "the plugin is ready")
        control_plane.restart_api_server(*OFF)
        until(lambda: not control_plane.devices(), "the GPUs are withdrawn", timeout=LIMIT_SECONDS)
        assert [s["spec"]["driver"] for s in control_plane.client.list(SLICES).items] == [DRIVER]
    finally:
        plugin.stop()
