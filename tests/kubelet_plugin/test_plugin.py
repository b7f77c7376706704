"""The whole daemon, driven as kubelet does it: real sockets, a small API server, real files."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import grpc
import pytest
from fake_api_server import FakeApiServer
from fake_kubelet import CLAIMS, SLICE, SLICES, Kubelet, running
from plugin_objects import BOOT, NODE, FakeGpus, Node, claim_json, device, gpu, instance, result, share_id, uuid

from hami_dra.api import names
from hami_dra.api.pb import dra_v1_pb2 as v1
from hami_dra.kube.transport import Client
from hami_dra.kubelet_plugin.health_plan import GpuState, XidEvent
from hami_dra.kubelet_plugin.mig_plan import MigStrategy
from hami_dra.kubelet_plugin.settings import Allocator, Settings
from hami_dra.kubelet_plugin.toolkit import Program

Process = Callable[[], AbstractContextManager[Kubelet]]
Answer = v1.NodePrepareResourceResponse

BIG = {"memory": "79000Mi", "cores": "0", "shares": "1"}


def test_introduces_itself_with_the_versions_that_it_serves(kubelet: Kubelet) -> None:
    """kubelet takes the first version of the list that it knows."""
    info = kubelet.info()
    assert (info.type, info.name) == ("DRAPlugin", "gpu.hami.io")
    health = ["v1.DRAResourceHealth", "v1alpha1.DRAResourceHealth"]
    assert list(info.supported_versions) == ["v1.DRAPlugin", "v1beta1.DRAPlugin", *health]
    assert Path(info.endpoint).is_socket()


def test_publishes_slices_only_after_kubelet_took_the_driver(kubelet: Kubelet, server: FakeApiServer) -> None:
    """A slice of a driver that kubelet does not know yet only makes pods fail."""
    assert server.objects(SLICES) == []
    assert kubelet.get("/readyz")[0] == 503
    kubelet.register()
    server.wait_for(lambda: bool(server.objects(SLICES)))
    assert [d["name"] for d in kubelet.devices()] == [device(0), device(1)]
    assert all(d["allowMultipleAllocations"] for d in kubelet.devices())
    assert all(d["taints"][0]["key"] == names.ALLOCATOR_TAINT_KEY for d in kubelet.devices())
    assert server.object(SLICE)["metadata"]["ownerReferences"][0]["uid"] == "node-uid"


def test_publishes_again_at_once_when_kubelet_wiped_the_slices(kubelet: Kubelet, server: FakeApiServer) -> None:
    """kubelet deletes the node's slices when it starts, perhaps after we registered with it."""
    kubelet.register()
    server.wait_for(lambda: bool(server.objects(SLICES)))
    server.remove(SLICE)
    server.wait_for(lambda: bool(server.objects(SLICES)))
    assert len(kubelet.devices()) == 2


def test_says_no_more_than_that_kubelet_refused_it(kubelet: Kubelet, server: FakeApiServer) -> None:
    """A refused driver publishes nothing, and kubelet sees the failure as well."""
    assert kubelet.get("/readyz") == (503, "kubelet has not registered the driver\n")
    with pytest.raises(grpc.RpcError):
        kubelet.register(accepted=False)
    assert server.objects(SLICES) == []
    assert kubelet.get("/readyz") == (503, "kubelet has not registered the driver: no\n")


def test_prepares_a_claim_and_answers_the_same_when_asked_again(kubelet: Kubelet, server: FakeApiServer) -> None:
    """kubelet repeats the call after its own restart, for running pods."""
    server.add(CLAIMS, claim_json())
    first = kubelet.prepare("claim-1").claims["claim-1"]
    assert first.error == ""
    (found,) = first.devices
    assert list(found.request_names) == ["gpu"]
    assert (found.pool_name, found.device_name, found.share_id) == (NODE, device(0), share_id(1))
    assert list(found.cdi_device_ids) == [f"k8s.gpu.hami.io/share={share_id(1)}", f"k8s.gpu.hami.io/base={uuid(0)}"]
    assert kubelet.prepare("claim-1").claims["claim-1"] == first


def test_answers_kubelets_that_speak_only_v1beta1(kubelet: Kubelet, server: FakeApiServer) -> None:
    """Both versions are one implementation."""
    server.add(CLAIMS, claim_json())
    (found,) = kubelet.prepare_beta("claim-1").claims["claim-1"].devices
    assert found.cdi_device_ids == kubelet.prepare("claim-1").claims["claim-1"].devices[0].cdi_device_ids


def test_one_claim_that_fails_does_not_fail_the_others(kubelet: Kubelet, server: FakeApiServer) -> None:
    """Every claim of a call has its own answer."""
    server.add(CLAIMS, claim_json("good"))
    server.add(CLAIMS, claim_json("bad", [result(pool="elsewhere", share=2)]))
    reply = kubelet.prepare("bad", "good", "absent").claims
    assert reply["good"].error == ""
    assert "allocated from pool elsewhere, this node is node-a" in reply["bad"].error
    assert "is gone, or another one has its name" in reply["absent"].error


def test_tells_claim_and_pod_why_it_refused(kubelet: Kubelet, server: FakeApiServer) -> None:
    """The reason stands on the objects where people look."""
    server.add(CLAIMS, claim_json("bad", [result(number=7)]))
    kubelet.prepare("bad")
    server.wait_for(lambda: len(server.objects("/api/v1/namespaces/default/events")) == 2)
    events = server.objects("/api/v1/namespaces/default/events")
    assert {event["involvedObject"]["kind"] for event in events} == {"ResourceClaim", "Pod"}
    assert all("is not on node node-a" in event["message"] for event in events)


def test_writes_the_state_of_the_share_into_the_claim(kubelet: Kubelet, server: FakeApiServer) -> None:
    """kubectl describe resourceclaim shows what was prepared."""
    server.add(CLAIMS, claim_json())
    kubelet.prepare("claim-1")
    server.wait_for(lambda: "devices" in server.object(f"{CLAIMS}/claim-1")["status"])
    (status,) = server.object(f"{CLAIMS}/claim-1")["status"]["devices"]
    assert (status["device"], status["shareID"]) == (device(0), share_id(1))
    assert status["conditions"][0]["type"] == "Ready"
    assert status["conditions"][0]["status"] == "True"
    assert status["data"]["uuid"] == uuid(0)
    assert (status["data"]["memory"], status["data"]["cores"]) == ("3000 MiB", 30)


def test_unprepare_leaves_nothing_and_needs_no_api_server(kubelet: Kubelet, server: FakeApiServer, node: Node) -> None:
    """Pods must be able to end while the API server is away, or their claim is gone."""
    server.add(CLAIMS, claim_json())
    kubelet.prepare("claim-1")
    assert node.files()
    server.wait_for(lambda: "devices" in server.object(f"{CLAIMS}/claim-1")["status"])
    server.remove(f"{CLAIMS}/claim-1")
    reads = server.verbs(CLAIMS).count("get")
    assert kubelet.unprepare("claim-1") == ""
    assert node.files() == set()
    assert kubelet.unprepare("claim-1") == ""
    assert server.verbs(CLAIMS).count("get") == reads


def test_metrics_show_calls_and_shares(kubelet: Kubelet, server: FakeApiServer) -> None:
    """A scrape reads the shares as they are."""
    server.add(CLAIMS, claim_json())
    kubelet.prepare("claim-1")
    status, text = kubelet.get("/metrics")
    assert status == 200
    assert 'hami_dra_claim_prepare_duration_seconds_count{result="ok"} 1.0' in text
    where = f'container="",device="{device(0)}",namespace="default",pod="",share="{share_id(1)}"'
    assert f'hami_dra_share_memory_limit_bytes{{claim="claim-1",{where}}} 3145728000' in text
    assert f'hami_dra_share_memory_used_bytes{{claim="claim-1",{where}}} 0' in text
    assert f'hami_dra_node_gpu_healthy{{device="{device(1)}"}} 1' in text


def test_a_node_without_driver_is_ready_and_idle(
    settings: Settings, server: FakeApiServer, client: Client, node: Node
) -> None:
    """No GPU is no failure: nothing crashes, nothing is published, prepare says why."""
    server.add(CLAIMS, claim_json())
    with running(settings, server, client, FakeGpus(None), node) as kubelet:
        kubelet.register()
        assert kubelet.get("/readyz")[0] == 200
        assert kubelet.get("/healthz")[0] == 200
        assert "no working NVIDIA driver" in kubelet.prepare("claim-1").claims["claim-1"].error
    assert server.objects(SLICES) == []


def test_sockets_go_with_the_process_and_stale_ones_are_no_hindrance(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """kubelet dials dead sockets with growing pauses."""
    server.add("/api/v1/nodes", {"metadata": {"name": NODE, "uid": "node-uid"}})
    settings.registry_dir.mkdir()
    stale = settings.registry_dir / f"{names.DRIVER}-reg.sock"
    stale.write_text("left behind")
    with running(settings, server, client, gpus, node) as kubelet:
        assert kubelet.info().name == names.DRIVER
    assert list(settings.registry_dir.iterdir()) == []
    assert not (node.paths.plugin_dir / "dra.sock").exists()


@pytest.fixture
def process(settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node) -> Process:
    """Runs the plugin on the node, each time in a new process as far as the node can tell."""
    return partial(running, settings, server, client, gpus, node)


@pytest.fixture
def before(process: Process, server: FakeApiServer) -> Answer:
    """What a process that has ended answered for claim-1; it left it prepared."""
    server.add(CLAIMS, claim_json())
    with process() as kubelet:
        return kubelet.prepare("claim-1").claims["claim-1"]


def test_a_restart_keeps_what_was_prepared(process: Process, before: Answer, node: Node) -> None:
    """kubelet does not call prepare again when only the plugin restarted."""
    files = node.files()
    with process() as kubelet:
        assert node.files() == files
        assert kubelet.prepare("claim-1").claims["claim-1"] == before


def test_a_corrupt_checkpoint_is_said_on_the_node_and_stops_nothing(
    process: Process, before: Answer, server: FakeApiServer, node: Node
) -> None:
    """An operator hears of it; the shares that run go on."""
    node.paths.checkpoint.unlink()
    (node.paths.claims_dir / "claim-1").write_bytes(b"garbage")
    with process() as kubelet:
        server.wait_for(
            lambda: any(
                e["reason"] == "CheckpointLost" and e["involvedObject"]["uid"] == e["involvedObject"]["name"]
                for e in server.objects("/api/v1/events")
            )
        )
        assert kubelet.prepare("claim-1").claims["claim-1"] == before


def test_the_record_of_an_older_version_alone_is_enough(
    process: Process, before: Answer, server: FakeApiServer, node: Node
) -> None:
    """Version 0.1.0 left one file of schema 1: its claims are answered as before and end without a trace."""
    shutil.rmtree(node.paths.claims_dir)
    assert json.loads(node.paths.checkpoint.read_bytes().partition(b"\n")[0])["schema"] == 1
    usage = node.paths.share(share_id(1)) / "usage"
    usage.write_bytes(b"charged by a running program")
    with process() as kubelet:
        assert kubelet.prepare("claim-1").claims["claim-1"] == before
        assert usage.read_bytes().startswith(b"charged by a running program")
        assert kubelet.unprepare("claim-1") == ""
        assert node.files() == set()
        assert not node.paths.checkpoint.exists()
    assert not [event for event in server.objects("/api/v1/events") if event["reason"] == "CheckpointLost"]


@pytest.mark.usefixtures("before")
def test_the_record_of_an_unknown_newer_version_is_not_guessed_at(
    process: Process, server: FakeApiServer, node: Node
) -> None:
    """It is set aside and told with both schemas; the claim stays booked by its files, and can be taken back."""
    server.add(CLAIMS, claim_json("other", [result(share=2, consumedCapacity=BIG)]))
    node.paths.checkpoint.unlink()
    record = node.paths.claims_dir / "claim-1"
    record.write_bytes(record.read_bytes().replace(b'"schema":2', b'"schema":3'))
    with process() as kubelet:
        said = "its schema is 3, this version reads 2; it was set aside as claim-1.corrupt"
        server.wait_for(lambda: any(said in event["message"] for event in server.objects("/api/v1/events")))
        assert "holds 3000 MiB" in kubelet.prepare("other").claims["other"].error
        assert kubelet.unprepare("claim-1") == ""
        assert node.files() == set()


def test_changing_the_mode_publishes_without_the_taint(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """In scheduler mode kube-scheduler must be able to allocate the devices."""
    server.add("/api/v1/nodes", {"metadata": {"name": NODE, "uid": "node-uid"}})
    with running(settings, server, client, gpus, node) as kubelet:
        kubelet.register()
        server.wait_for(lambda: bool(server.objects(SLICES)))
    other = Settings(**{**vars(settings), "allocator": Allocator.SCHEDULER})
    with running(other, server, client, gpus, node) as kubelet:
        kubelet.register()
        server.wait_for(lambda: all("taints" not in d for d in kubelet.devices()))
        assert len(kubelet.devices()) == 2


def test_withdraws_its_devices_when_the_taint_is_dropped(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """Without the taint kube-scheduler would allocate beside our controller."""
    server.add("/api/v1/nodes", {"metadata": {"name": NODE, "uid": "node-uid"}})
    server.cluster.on_write = _drop_taints
    with running(settings, server, client, gpus, node) as kubelet:
        kubelet.register()
        server.wait_for(lambda: bool(server.objects("/api/v1/events")))
        assert kubelet.devices() == []
        status, text = kubelet.get("/readyz")
        assert (status, text.partition(":")[0]) == (503, "no GPU is published")
        assert "taints" in text
    (event,) = server.objects("/api/v1/events")
    assert event["involvedObject"]["kind"] == "Node"
    assert event["reason"] == "DevicesWithdrawn"


def _drop_taints(item: dict[str, Any]) -> dict[str, Any]:
    for found in item.get("spec", {}).get("devices", []):
        found.pop("taints", None)
    return item


def test_the_checkpoint_names_what_schema_two_wants(kubelet: Kubelet, server: FakeApiServer, node: Node) -> None:
    """Later versions, and people, read these fields."""
    server.add(CLAIMS, claim_json())
    kubelet.prepare("claim-1")
    header, found = map(json.loads, (node.paths.claims_dir / "claim-1").read_text().splitlines())
    assert header["schema"] == 2
    assert (found["state"], found["bootID"]) == ("completed", BOOT)
    assert found["claim"] == {"namespace": "default", "name": "claim-1", "uid": "claim-1"}
    (held,) = found["results"]
    assert (held["device"], held["shareID"], held["memory"], held["cores"]) == (
        device(0),
        share_id(1),
        3000 << 20,
        30,
    )
    assert len(held["cdiIDs"]) == 2
    assert found["library"].startswith("0.1.0-")


def test_the_nodes_toolkit_and_other_drivers_are_heeded(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """nvidia-ctk describes what is published, and a GPU that a device plugin has is not."""
    server.add("/api/v1/nodes", {"metadata": {"name": NODE, "uid": "node-uid"}})
    node.toolkit.program = Program(PurePosixPath("/usr/bin/nvidia-ctk"), (1, 1, 1))
    node.toolkit.devices = [uuid(1)]
    node.consumers.device_ids = {"nvidia.com/gpu": [uuid(0)]}
    with running(settings, server, client, gpus, node) as kubelet:
        kubelet.register()
        server.wait_for(lambda: bool(server.objects(SLICES)))
        assert [found["name"] for found in kubelet.devices()] == [device(1)]
        assert uuid(1) in node.paths.base_spec.read_text()
    with running(dataclasses.replace(settings, leave_owned=False), server, client, gpus, node) as kubelet:
        kubelet.register()
        server.wait_for(lambda: len(kubelet.devices()) == 2)


def with_mig(settings: Settings, gpus: FakeGpus, strategy: MigStrategy) -> Settings:
    """A node with a whole GPU and an instance of another one."""
    assert gpus.found
    gpus.found = dataclasses.replace(gpus.found, gpus=(gpu(0), instance(1)))
    return dataclasses.replace(settings, mig_strategy=strategy)


def test_an_instance_is_published_and_prepared_like_a_gpu(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """By its own UUID, in the slice, in the CDI device and in the share."""
    server.add("/api/v1/nodes", {"metadata": {"name": NODE, "uid": "node-uid"}})
    spec = {"cdiVersion": "0.5.0", "kind": names.CDI_KIND_BASE, "devices": [{"name": instance(1).uuid}]}
    (node.paths.static_cdi_dir / "mig.json").write_text(json.dumps(spec))
    name = instance(1).uuid.lower()
    server.add(CLAIMS, claim_json("part", [{**result(), "device": name}]))
    with running(with_mig(settings, gpus, MigStrategy.MIXED), server, client, gpus, node) as kubelet:
        kubelet.register()
        server.wait_for(lambda: bool(server.objects(SLICES)))
        assert [d["name"] for d in kubelet.devices()] == [device(0), name]
        reply = kubelet.prepare("part").claims["part"]
        assert reply.error == ""
        assert reply.devices[0].cdi_device_ids[1] == f"k8s.gpu.hami.io/base={instance(1).uuid}"
        assert f"uuid {instance(1).uuid}\n" in (node.paths.share(share_id(1)) / "limits").read_text()


def test_instances_that_the_strategy_does_not_take_are_told_of(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node
) -> None:
    """An Event on the Node; what is whole is there."""
    server.add("/api/v1/nodes", {"metadata": {"name": NODE, "uid": "node-uid"}})
    with running(with_mig(settings, gpus, MigStrategy.SINGLE), server, client, gpus, node) as kubelet:
        kubelet.register()
        server.wait_for(lambda: bool(server.objects(SLICES)))
        assert [d["name"] for d in kubelet.devices()] == [device(0)]
        server.wait_for(lambda: bool(server.objects("/api/v1/namespaces/default/events")))
        (event,) = server.objects("/api/v1/namespaces/default/events")
        assert (event["reason"], event["involvedObject"]["kind"]) == ("MigInstancesLeftOut", "Node")
        assert f"MIG is off on {uuid(0)}" in event["message"]


def test_only_gpus_of_the_node_are_told_of(
    settings: Settings, server: FakeApiServer, client: Client, gpus: FakeGpus, node: Node, tmp_path: Path
) -> None:
    """The operator's list has those of all nodes: else each node said of each that it is cordoned."""
    cordon, foreign = tmp_path / "gpus", uuid(1).replace("GPU-0000000A", "GPU-00000001")
    node.health.states = {uuid(0): GpuState(0, 0), uuid(1): GpuState(0, 0)}
    with running(dataclasses.replace(settings, cordon_file=cordon), server, client, gpus, node):
        cordon.write_text(f"{foreign}\n{uuid(1)}\n")
        node.health.events.put(XidEvent(uuid(0), 31))
        server.wait_for(lambda: any(device(1) in event["message"] for event in server.objects("/api/v1/events")), 10)
    assert not [event for event in server.objects("/api/v1/events") if foreign.lower() in event["message"]]
