"""What containers are told of their devices, from the claim to the file and its mount."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from plugin_objects import BOOT, Node, claim_json, device, result, share_id, start

from hami_dra.api.names import ClaimUid
from hami_dra.api.resources import Claim
from hami_dra.kubelet_plugin.checkpoint import decode_entry, encode_entry

DIRECT = "/var/run/kubernetes.io/dra-device-attributes/resourceclaims/claim-1"
TEMPLATE = "/var/run/kubernetes.io/dra-device-attributes/resourceclaimtemplates"
UID = ClaimUid("claim-1")
FILE = "gpu.hami.io-metadata.json"


def claim(*results: dict[str, Any], pod_claim: str | None = None) -> Claim:
    """A claim; `pod_claim` is what its annotation says."""
    source = claim_json(results=results or None)
    if pod_claim is not None:
        source["metadata"]["annotations"] = {"resource.kubernetes.io/pod-claim-name": pod_claim}
    return Claim.from_json(source)


def mounts(node: Node) -> dict[str, list[str]]:
    """Where each device of the claim's spec mounts such files."""
    spec = json.loads(node.paths.claim_spec(UID).read_text())
    return {
        found["name"]: [m["containerPath"] for m in found["containerEdits"]["mounts"] if FILE in m["containerPath"]]
        for found in spec["devices"]
    }


def told(node: Node, request: str = "gpu") -> list[dict[str, Any]]:
    """The objects of a file, as a reader of a JSON stream finds them."""
    text, decoder, found = node.paths.metadata(UID, request).read_text(), json.JSONDecoder(), []
    while text.strip():
        one, end = decoder.raw_decode(text.lstrip())
        found.append(one)
        text = text.lstrip()[end:]
    return found


def test_the_file_has_one_object_in_each_version_newest_first(node: Node) -> None:
    """With the attributes of the slice, under the name that the allocation has for the request."""
    start(node).prepare(claim(result(request="gpu/large")))
    newest, older = told(node)
    assert (newest["apiVersion"], older["apiVersion"]) == (
        "metadata.resource.k8s.io/v1beta1",
        "metadata.resource.k8s.io/v1alpha1",
    )
    assert {**newest, "apiVersion": ""} == {**older, "apiVersion": ""}
    assert newest["kind"] == "DeviceMetadata"
    assert newest["metadata"] == {"name": "claim-1", "namespace": "default", "uid": "claim-1", "generation": 1}
    assert "podClaimName" not in newest
    (request,) = newest["requests"]
    assert request["name"] == "gpu/large"
    (found,) = request["devices"]
    assert (found["driver"], found["pool"], found["name"]) == ("gpu.hami.io", "node-a", device(0))
    assert found["attributes"]["model"] == {"string": "NVIDIA H100 80GB HBM3"}
    assert found["attributes"]["driverVersion"] == {"version": "580.82.7"}
    assert found["attributes"]["resource.kubernetes.io/numaNode"] == {"int": 0}


def test_a_claim_that_pods_name_is_found_by_its_own_name(node: Node) -> None:
    """The subrequest is no part of the path."""
    start(node).prepare(claim(result(request="gpu/large")))
    assert mounts(node) == {share_id(1): [f"{DIRECT}/gpu/{FILE}"]}


def test_a_claim_from_a_template_is_found_by_what_the_pod_calls_it(node: Node) -> None:
    """Its own name is made up when the pod is created."""
    start(node).prepare(claim(pod_claim="my-gpu"))
    assert mounts(node) == {share_id(1): [f"{TEMPLATE}/my-gpu/gpu/{FILE}"]}
    assert told(node)[0]["podClaimName"] == "my-gpu"


@pytest.mark.parametrize("name", ["../../../../etc", "a/b", "..", "", "A", "x" * 64])
def test_an_annotation_cannot_lead_the_mount_elsewhere(node: Node, name: str) -> None:
    """Tenants may write claims; a file of ours over /etc/ld.so.preload would set the container free."""
    start(node).prepare(claim(pod_claim=name))
    assert mounts(node) == {share_id(1): [f"{DIRECT}/gpu/{FILE}"]}


def test_each_request_has_a_file_and_each_file_one_mount(node: Node) -> None:
    """Two shares of one request bring it once, for a container has both or none."""
    results = (result(share=1, request="a"), result(number=1, share=2, request="a"), result(share=3, request="b"))
    start(node).prepare(claim(*results))
    assert mounts(node) == {share_id(1): [f"{DIRECT}/a/{FILE}"], share_id(2): [], share_id(3): [f"{DIRECT}/b/{FILE}"]}
    assert [found["name"] for found in told(node, "a")[0]["requests"][0]["devices"]] == [device(0), device(1)]
    assert [found["name"] for found in told(node, "b")[0]["requests"][0]["devices"]] == [device(0)]


def test_unprepare_removes_the_files(node: Node) -> None:
    """The next claim of that name finds nothing of this one."""
    process = start(node)
    process.prepare(claim())
    process.unprepare("claim-1")
    assert not node.paths.claim_metadata(UID).exists()


def test_a_start_removes_files_of_claims_that_are_not_prepared(node: Node) -> None:
    """A crash between the steps of unprepare leaves some."""
    process = start(node)
    process.prepare(claim())
    folder = node.paths.metadata_dir / "gone"
    folder.mkdir()
    (folder / "gpu.json").touch()
    start(node)
    assert [path.name for path in node.paths.metadata_dir.iterdir()] == ["claim-1"]


def test_after_a_reboot_the_mount_is_there_again(node: Node) -> None:
    """The CDI folder is empty then; the file is on disk."""
    start(node).prepare(claim(pod_claim="my-gpu"))
    node.paths.claim_spec(UID).unlink()
    before = node.paths.metadata(UID, "gpu").read_bytes()
    start(node, boot="boot-2")
    assert mounts(node) == {share_id(1): [f"{TEMPLATE}/my-gpu/gpu/{FILE}"]}
    assert node.paths.metadata(UID, "gpu").read_bytes() == before


def test_a_file_that_vanished_is_written_anew(node: Node) -> None:
    """When the claim is looked after, and when kubelet asks again."""
    process = start(node)
    process.prepare(claim())
    path = node.paths.metadata(UID, "gpu")
    before = path.read_bytes()
    path.unlink()
    process.preparer.mend(UID)
    assert path.read_bytes() == before
    path.unlink()
    process.prepare(claim())
    assert path.read_bytes() == before


def test_what_an_older_version_prepared_has_no_mount(node: Node) -> None:
    """Its containers run without; a mount of a file that is not there would keep them from starting again."""
    held = start(node).prepare(claim())
    old = dataclasses.replace(held, pod_claim=None)
    node.checkpoint().put(old)
    node.effects().metadata.remove(UID)
    process = start(node)
    assert mounts(node) == {share_id(1): []}
    assert process.prepare(claim()) == old
    assert not node.paths.claim_metadata(UID).exists()


def test_the_checkpoint_keeps_the_name(node: Node) -> None:
    """And reads entries that have none."""
    held = start(node).prepare(claim(pod_claim="my-gpu"))
    assert decode_entry(encode_entry(held)) == held
    older = dataclasses.replace(held, pod_claim=None)
    assert decode_entry(encode_entry(older)) == older
    assert held.boot_id == BOOT
