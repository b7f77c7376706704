"""What the doctor reads of a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from controller_objects import node_json
from fake_api_server import FakeApiServer
from read_cluster import CLAIM, fill

from hami_dra.cli.doctor.reading import read_snapshot
from hami_dra.cli.errors import UnreadableObject
from hami_dra.kube import paths
from hami_dra.kube.errors import Gone
from hami_dra.kube.transport import PAGE_LIMIT, Client, connect


@pytest.fixture
def client(server: FakeApiServer, kubeconfig: str) -> Iterator[Client]:
    """A client of a filled cluster."""
    fill(server)
    client = connect(kubeconfig)
    yield client
    client.close()


def test_only_what_concerns_our_driver_is_kept(client: Client) -> None:
    """Slices of others are not read; claims are ours by their class or by what they were given."""
    snapshot = read_snapshot(client)
    assert [slice_.node_name for slice_ in snapshot.slices] == ["node-a"]
    assert [claim.name for claim in snapshot.claims] == ["claim", "waits"]
    assert snapshot.other_claims == {("default", "theirs")}
    assert [pod.name for pod in snapshot.pods] == ["pod"]
    assert snapshot.nodes == {"node-a", "node-b"}


def test_nothing_is_written(client: Client, server: FakeApiServer) -> None:
    """Five lists and no other request: that is all the permission it needs."""
    read_snapshot(client)
    assert server.verbs() == ["list"] * 5


def test_an_object_that_is_not_what_its_api_says_is_named(client: Client, server: FakeApiServer) -> None:
    """Sums over what could not be read would be wrong, so nothing is said about the rest."""
    server.change(CLAIM, {"status": {"allocation": {"devices": {"results": [{"request": "gpu"}]}}}})
    with pytest.raises(UnreadableObject, match=r"ResourceClaim default/claim: .*driver: found None, wanted a string"):
        read_snapshot(client)


def test_a_pod_that_names_no_claim_is_left_out(client: Client, server: FakeApiServer) -> None:
    """Most pods of a cluster have nothing to do with devices."""
    server.add(
        paths.namespaced(paths.PODS, "default"),
        {"metadata": {"namespace": "default", "name": "plain"}, "spec": {"containers": []}},
    )
    assert [pod.name for pod in read_snapshot(client).pods] == ["pod"]


def test_a_list_whose_pages_expire_is_read_again_in_one_piece(client: Client, server: FakeApiServer) -> None:
    """On a busy cluster the API server forgets a list before its last page was fetched."""
    for index in range(PAGE_LIMIT + 1):
        server.add(paths.NODES, node_json(f"more-{index}"))
    server.cluster.pages_expired = True
    assert len(read_snapshot(client).nodes) == PAGE_LIMIT + 3
    assert [request.query.get("limit") for request in server.cluster.requests if request.path == paths.NODES] == [
        str(PAGE_LIMIT),
        str(PAGE_LIMIT),
        None,
    ]


def test_a_list_that_is_gone_twice_is_an_error(client: Client, server: FakeApiServer) -> None:
    """It is read again once, not for ever."""
    server.fail(410, "Expired", path=paths.PODS, times=2)
    with pytest.raises(Gone):
        read_snapshot(client)
    assert server.verbs(paths.PODS) == ["list"] * 2
