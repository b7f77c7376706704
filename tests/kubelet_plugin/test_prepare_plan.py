"""What an allocation means on the node."""

from __future__ import annotations

from typing import Any

import pytest
from plugin_objects import BOOT, MIB, NODE, claim, device, inventory, result, share_config, share_id, uuid

from hami_dra.api.errors import ShareConfigError
from hami_dra.kubelet_plugin.entries import Entry, ShareResult
from hami_dra.kubelet_plugin.errors import ClaimRefused
from hami_dra.kubelet_plugin.prepare_plan import NodeFacts, is_allocation_of, plan_entry


def plan(*results: dict[str, Any], config: tuple[dict[str, Any], ...] = ()) -> Entry:
    """Plan a claim with these results."""
    facts = NodeFacts(NODE, BOOT, inventory().uuids)
    return plan_entry(claim(results=results, config=config), facts, "0.1.0-abcdef01")


def only(entry: Entry) -> ShareResult:
    """The one result."""
    (found,) = entry.results
    return found


def test_limits_are_what_was_consumed_not_what_was_asked() -> None:
    """kube-scheduler rounds requests up and the controller turns percent into bytes: the result is the truth."""
    found = only(plan(result(consumedCapacity={"memory": "5Gi", "cores": "10", "shares": "1"})))
    assert (found.memory_bytes, found.core_percent) == (5120 * MIB, 10)


def test_the_share_comes_before_the_base_device() -> None:
    """kubelet shows the first CDI ID of a device as its resource."""
    assert only(plan(result())).cdi_ids == (
        f"k8s.gpu.hami.io/share={share_id(1)}",
        f"k8s.gpu.hami.io/base={uuid(0)}",
    )


def test_other_drivers_results_are_not_acted_upon() -> None:
    """A claim may hold devices of several drivers."""
    foreign = {"request": "nic", "driver": "nic.example.com", "pool": "elsewhere", "device": "nic-0"}
    assert [found.device for found in plan(foreign, result()).results] == [device(0)]


def test_a_device_that_the_driver_lists_no_more_is_refused() -> None:
    """It is in the inventory only for the shares that are on it; its CDI device may lead nowhere."""
    facts = NodeFacts(NODE, BOOT, inventory().uuids, missing=(uuid(1),))
    with pytest.raises(ClaimRefused, match="the driver does not list it now"):
        plan_entry(claim(results=[result(number=1)]), facts, "0.1.0-abcdef01")
    assert plan_entry(claim(results=[result(number=0)]), facts, "0.1.0-abcdef01").shares


def test_admin_access_gets_the_gpu_without_limits() -> None:
    """Monitoring sees the whole GPU and is not counted."""
    entry = plan(result(adminAccess=True, shareID=None, consumedCapacity=None))
    assert only(entry).cdi_ids == (f"k8s.gpu.hami.io/base={uuid(0)}",)
    assert entry.shares == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"pool": "node-b"}, "allocated from pool node-b, this node is node-a", id="other-node"),
        pytest.param({"device": device(9)}, "is not on node node-a, which has gpu-", id="unknown-gpu"),
        pytest.param({"shareID": None}, "DRAConsumableCapacity", id="no-share-id"),
        pytest.param({"shareID": "../../etc"}, "wanted a lower-case UUID", id="path-in-share-id"),
        pytest.param({"consumedCapacity": None}, "capacity memory", id="no-capacity"),
        pytest.param({"consumedCapacity": {"memory": "0", "cores": "0"}}, "wanted at least 1", id="no-memory"),
        pytest.param({"consumedCapacity": {"memory": "1Gi"}}, "capacity cores", id="no-cores"),
        pytest.param({"consumedCapacity": {"memory": "1Gi", "cores": "101"}}, "101 cores", id="too-many-cores"),
    ],
)
def test_refuses_what_it_cannot_hold(changes: dict[str, Any], message: str) -> None:
    """A share that would be unlimited, or on another GPU, is refused in words."""
    with pytest.raises(ClaimRefused, match=message):
        plan(result(**changes))


def test_refuses_a_claim_that_is_not_allocated() -> None:
    """kubelet asks only for allocated claims; one may be taken back meanwhile."""
    with pytest.raises(ClaimRefused, match="not allocated"):
        plan()


def test_refuses_a_claim_that_has_nothing_of_ours() -> None:
    """Somebody allocated it anew for another driver under the pod."""
    with pytest.raises(ClaimRefused, match=r"the claim's allocation has no device of gpu\.hami\.io"):
        plan({"request": "nic", "driver": "nic.example.com", "pool": "elsewhere", "device": "nic-0"})


def test_the_claims_configuration_beats_the_classs_field_by_field() -> None:
    """What the claim leaves out the class decides, whatever their order in the list."""
    config = (share_config(coreLimit="soft"), share_config("FromClass", coreLimit="hard", priority=3))
    found = only(plan(result(), config=config))
    assert (found.core_limit, found.priority) == ("soft", 3)


def test_a_configuration_is_only_for_the_requests_that_it_names() -> None:
    """Two requests of a claim may have different limits."""
    config = (share_config(requests=["a"], priority=1),)
    entry = plan(result(request="a/first", share=1), result(request="b", share=2), config=config)
    assert [found.priority for found in entry.results] == [1, None]


@pytest.mark.parametrize(("cores", "limit"), [("30", "hard"), ("0", "none")])
def test_cores_are_a_hard_limit_unless_said_otherwise(cores: str, limit: str) -> None:
    """Without cores there is nothing to hold."""
    found = only(plan(result(consumedCapacity={"memory": "1Gi", "cores": cores})))
    assert found.core_limit == limit


def test_an_invalid_configuration_is_refused() -> None:
    """A typing error must not become a share without the limit that was meant."""
    with pytest.raises(ShareConfigError, match="coreLimits"):
        plan(result(), config=(share_config(coreLimits="soft"),))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"memoryPercent": 50}, id="memoryPercent"),
        pytest.param({"models": {"include": ["H100"]}}, id="models"),
        pytest.param({"uuids": {"exclude": ["GPU-1"]}}, id="uuids"),
        pytest.param({"placement": {"node": "spread"}}, id="placement"),
        pytest.param({"numa": "single"}, id="numa"),
    ],
)
def test_what_kube_scheduler_ignored_is_refused(fields: dict[str, Any]) -> None:
    """A policy that nobody applied must not look as if it had been, also after a change of mode: the shareID tells."""
    config = (share_config(**fields),)
    with pytest.raises(ClaimRefused, match=f"uses {next(iter(fields))}, which kube-scheduler cannot honour"):
        plan(result(shareID="5aaaaaaa-0000-4000-8000-000000000001"), config=config)
    assert plan(result(), config=config)


def test_an_entry_is_recognised_by_its_shares() -> None:
    """A claim that was allocated anew under the same UID has other shares."""
    entry = plan(result())
    assert is_allocation_of(entry, claim())
    assert not is_allocation_of(entry, claim(results=[result(share=2)]))
    assert not is_allocation_of(entry, claim(results=[]))
