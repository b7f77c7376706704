"""A rolling update: two plugin pods on one node, as kubelet sees them."""

from __future__ import annotations

import dataclasses
import fcntl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from fake_api_server import FakeApiServer
from fake_kubelet import CLAIMS, SLICES, Kubelet, outside, running
from plugin_objects import NODE, FakeGpus, Node, claim, claim_json, result, share_id, start, uuid

from hami_dra.api.names import DRIVER
from hami_dra.kube.transport import Client
from hami_dra.kubelet_plugin.checkpoint import decode
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.health_plan import GpuState, XidEvent
from hami_dra.kubelet_plugin.locks import LeadLock
from hami_dra.kubelet_plugin.plugin import Plugin
from hami_dra.kubelet_plugin.settings import Settings


def pod(settings: Settings, uid: str) -> Settings:
    """The settings of the plugin in that pod."""
    return dataclasses.replace(settings, pod_uid=uid)


def test_two_pods_serve_the_same_claims_while_one_leads(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """The new pod answers before the old one goes; slices are never gone; claims of either are everybody's."""
    server.add("/api/v1/nodes", {"metadata": {"name": NODE, "uid": "node-uid"}})
    server.add(CLAIMS, claim_json("one"))
    server.add(CLAIMS, claim_json("two", [result(share=2)]))
    with running(pod(settings, "new"), server, client, gpus, node) as idle:
        assert idle.info().endpoint.endswith("dra-new.sock")
    with running(pod(settings, "old"), server, client, gpus, node) as old:
        old.register()
        server.wait_for(lambda: bool(server.objects(SLICES)))
        first = old.prepare("one").claims["one"]
        with running(pod(settings, "new"), server, client, gpus, node) as new:
            new.register()
            assert new.get("/readyz") == (200, "serves claims; the older plugin process leads\n")
            assert new.prepare("one").claims["one"] == first
            assert new.prepare("two").claims["two"].error == ""
            assert old.unprepare("two") == ""
            assert not node.paths.share(share_id(2)).exists()
            assert new.prepare("two").claims["two"].error == ""
            assert len(list(settings.registry_dir.iterdir())) == 2
        assert [path.name for path in settings.registry_dir.iterdir()] == [f"{DRIVER}-old-reg.sock"]
        assert len(server.objects(SLICES)) == 1
        assert old.unprepare("two") == ""
    entries = decode(node.paths.checkpoint.read_bytes())
    assert set(entries) == {"one"}


def test_the_new_pod_leads_once_the_old_one_is_gone(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """It publishes what the old one published."""
    server.add("/api/v1/nodes", {"metadata": {"name": NODE, "uid": "node-uid"}})
    with running(pod(settings, "new"), server, client, gpus, node) as new:
        with running(pod(settings, "old"), server, client, gpus, node):
            new.register()
            server.wait_for(lambda: bool(server.objects(SLICES)))
        for item in server.objects(SLICES):
            server.remove(f"{SLICES}/{item['metadata']['name']}")
        server.wait_for(lambda: bool(server.objects(SLICES)))
        assert new.get("/readyz") == (200, "ok\n")


def test_what_was_wrong_before_an_update_is_told_to_be_over_after_it(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """The new pod notes it while the old one leads; else the Node's last word would be that the GPU is broken."""
    server.add("/api/v1/nodes", {"metadata": {"name": NODE, "uid": "node-uid"}})
    node.health.states = {uuid(0): GpuState(0, 1), uuid(1): GpuState(0, 0)}

    def reasons() -> list[str]:
        return [event["reason"] for event in server.objects("/api/v1/events")]

    with ExitStack() as new:
        with running(pod(settings, "old"), server, client, gpus, node):
            server.wait_for(lambda: reasons() == ["GpuUnhealthy"])
            kubelet = new.enter_context(running(pod(settings, "new"), server, client, gpus, node))
            kubelet.register()
        server.wait_for(lambda: kubelet.get("/readyz")[1] != "serves claims; the older plugin process leads\n")
        node.health.states = {uuid(0): GpuState(0, 0), uuid(1): GpuState(0, 0)}
        node.health.events.put(XidEvent(uuid(1), 13))
        server.wait_for(lambda: "GpuHealthy" in reasons())


def test_the_lead_is_given_up_only_when_nothing_is_fed_any_more(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """Two feeders at once would mix up the sequence of the node pages."""
    led = threading.Event()
    fed: list[str] = []

    def on_lead() -> None:
        names = ("feeder", "publisher", "upkeep")
        fed.extend(thread.name for thread in threading.enumerate() if thread.name in names)
        led.set()

    with running(settings, server, client, gpus, node):
        successor = LeadLock(node.paths.lead_lock, on_lead)
        successor.start()
        assert not successor.is_held
    assert led.wait(5)
    successor.stop()
    assert fed == []


def test_a_process_of_an_older_version_sees_us_ready(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """It wants the node alone, and an update takes it away only once the new pod is ready."""
    with (node.paths.plugin_dir / "lock").open("w") as older:
        fcntl.flock(older, fcntl.LOCK_EX)
        stopping = threading.Event()
        plugin = Plugin(settings, outside(client, gpus, node, stopping))
        starting = threading.Thread(target=plugin.start)
        starting.start()
        kubelet = Kubelet(settings.registry_dir, server, 0)
        server.wait_for(lambda: plugin.http_port > 0)
        kubelet = dataclasses.replace(kubelet, port=plugin.http_port)
        assert kubelet.get("/readyz") == (200, "waits for the older plugin process to end\n")
        assert kubelet.get("/healthz")[0] == 200
        assert not settings.registry_dir.exists()
        fcntl.flock(older, fcntl.LOCK_UN)
        starting.join(10)
    assert kubelet.info().name == DRIVER
    plugin.stop()


def test_introduces_itself_within_a_second_under_load(kubelet: Kubelet, server: FakeApiServer) -> None:
    """kubelet gives GetInfo one second: registration does not stand in line with claims."""
    uids = [f"c-{number}" for number in range(40)]
    for number, uid in enumerate(uids):
        consumed = {"memory": "100Mi", "cores": "0", "shares": "1"}
        server.add(CLAIMS, claim_json(uid, [result(number % 2, number, consumedCapacity=consumed)]))
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(kubelet.prepare, uid) for uid in uids]
        assert kubelet.info(timeout=1.0).name == DRIVER
        errors = [error for call in calls for error in (c.error for c in call.result().claims.values()) if error]
    assert all("shares left" in error for error in errors)
    assert len(errors) == len(uids) - 2 * 10


def test_a_start_that_fails_leaves_the_record_as_it_is(
    settings: Settings, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """What it could not read it does not know: no claims is not what an older version is to find."""
    held = start(node).prepare(claim("one"))
    files = node.files()
    unreadable = node.paths.shares_dir / "broken/limits"
    unreadable.mkdir(parents=True)
    plugin = Plugin(settings, outside(client, gpus, node))
    with pytest.raises(NodeStateError, match=r"cannot read \S+/broken/limits"):
        plugin.start()
    plugin.stop()
    unreadable.rmdir()
    assert start(node).entries() == (held,)
    assert node.files() == files


def test_what_another_process_wrote_last_is_left_for_an_older_version(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """Both may end in the same second, the one that prepared first."""
    server.add("/api/v1/nodes", {"metadata": {"name": NODE, "uid": "node-uid"}})
    with running(settings, server, client, gpus, node):
        start(node).prepare(claim("one"))
    assert set(decode(node.paths.checkpoint.read_bytes())) == {"one"}
