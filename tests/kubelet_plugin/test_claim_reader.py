"""What is kept of a claim that the API server has."""

from __future__ import annotations

import pytest
from fake_api_server import FakeApiServer
from fake_kubelet import CLAIMS
from plugin_objects import claim_json, share_config

from hami_dra.api.names import ClaimUid
from hami_dra.kube.claims import Claims
from hami_dra.kube.errors import NotFound
from hami_dra.kube.transport import Client
from hami_dra.kubelet_plugin.claim_reader import KubeClaimReader
from hami_dra.kubelet_plugin.entries import ClaimRef


def ref(uid: str = "claim-1") -> ClaimRef:
    """The claim as kubelet names it."""
    return ClaimRef("default", "claim-1", ClaimUid(uid))


def test_nothing_is_kept_that_preparing_does_not_look_at(server: FakeApiServer, client: Client) -> None:
    """A tenant may write hundreds of KiB for drivers that nobody has, and decoded they are forty times as large."""
    foreign = {"source": "FromClaim", "opaque": {"driver": "other.example.com", "parameters": {"a": [{}] * 3000}}}
    own = share_config(priority=3)
    stored = claim_json(config=[foreign, own])
    stored["spec"]["devices"]["config"] = [foreign]
    server.add(CLAIMS, stored)
    claim = KubeClaimReader(Claims(client)).read(ref())
    assert claim is not None
    assert claim.allocation is not None
    assert [config.parameters["priority"] for config in claim.allocation.config] == [3]
    assert len(claim.allocation.results) == 1
    assert (claim.config, claim.requests) == ((), ())
    assert claim.reserved_for[0].name == "pod-1"


def test_a_claim_without_allocation_is_read_too(server: FakeApiServer, client: Client) -> None:
    """It is refused by whoever asked, with its name; one of another UID is gone."""
    server.add(CLAIMS, claim_json(results=[]))
    reader = KubeClaimReader(Claims(client))
    claim = reader.read(ref())
    assert claim is not None
    assert claim.allocation is None
    assert reader.read(ref("of-before")) is None


def test_a_claim_is_gone_only_where_the_api_server_says_so(server: FakeApiServer, client: Client) -> None:
    """A bare 404 is of a server that does not serve resource.k8s.io/v1 now: shares are not taken back for that."""
    reader = KubeClaimReader(Claims(client))
    assert reader.read(ref()) is None
    server.add(CLAIMS, claim_json())
    server.fail(404)
    with pytest.raises(NotFound):
        reader.read(ref())
    assert reader.read(ref()) is not None
