"""What is written for a placement: results, and configurations in Kubernetes' order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from controller_objects import LOCK, Json, class_json, classes, config, gpu, make_claim, make_slice, request
from planning import decide, snapshot

from hami_dra.api.resources import AllocationResult
from hami_dra.controller.allocation import build_allocation
from hami_dra.controller.plan import Placement

SMALL = {"memory": "1Gi"}


def allocated(claim: Any, **where: Any) -> AllocationResult:
    """The allocation of a claim that fits."""
    moment = snapshot(**where)
    outcome = decide(claim, where=moment)
    assert isinstance(outcome, Placement), outcome
    return build_allocation(claim, outcome, moment.classes, datetime(2026, 1, 1, tzinfo=UTC))


def classed(name: str, *entries: Json) -> Json:
    """A class of ours with configurations."""
    source = class_json(name)
    source["spec"]["config"] = list(entries)
    return source


def entries(claim: Any, *device_classes: Json) -> list[tuple[str, tuple[str, ...], object]]:
    """Source, requests and priority of each configuration of the allocation."""
    found = allocated(claim, classes=classes(*device_classes)).config
    return [(str(one.source), one.requests, one.parameters.get("priority")) for one in found]


def test_class_configurations_come_first_and_each_class_once() -> None:
    """In the order of the requests, with the requests of each class; then the claim's, in its order."""
    one, two = classed("one", config(priority=1)), classed("two", config(priority=2))
    asked = [request(name, device_class=name_of, **SMALL) for name, name_of in REQUESTS]
    claim = make_claim("c", *asked, configs=[config(["c"], priority=4), config(["a"], priority=3)])
    assert entries(claim, one, two) == [
        ("FromClass", ("b",), 2),
        ("FromClass", ("a", "c"), 1),
        ("FromClaim", ("c",), 4),
        ("FromClaim", ("a",), 3),
    ]


REQUESTS = (("b", "two"), ("a", "one"), ("c", "one"))


def test_a_configuration_for_all_requests_names_none() -> None:
    """Whether it named them all or none: as kube-scheduler writes it."""
    both = [request("a", **SMALL), request("b", **SMALL)]
    said = [config(priority=1), config(["a", "b"], priority=2), config(["b"], priority=3)]
    assert entries(make_claim("c", *both, configs=said), classed("gpu.hami.io", config(priority=0))) == [
        ("FromClass", (), 0),
        ("FromClaim", (), 1),
        ("FromClaim", (), 2),
        ("FromClaim", ("b",), 3),
    ]


def test_only_configurations_of_what_was_chosen_are_written() -> None:
    """Those of an alternative that lost, and of its class, are not; the one that won is named in full."""
    big = {**request(device_class="one", memory="90000Mi")["exactly"], "name": "big"}
    small = {**request(device_class="two", **SMALL)["exactly"], "name": "small"}
    said = [config(["a"], priority=3), config(["a/big"], priority=4), config(["a/small"], priority=5)]
    claim = make_claim("c", {"name": "a", "firstAvailable": [big, small]}, request("b", **SMALL), configs=said)
    assert entries(claim, classed("one", config(priority=1)), classed("two", config(priority=2))) == [
        ("FromClass", ("a/small",), 2),
        ("FromClaim", ("a/small",), 3),
        ("FromClaim", ("a/small",), 5),
    ]


def test_configurations_for_other_drivers_are_written_too() -> None:
    """They are nobody's business but theirs."""
    theirs = {"opaque": {"driver": "other.example", "parameters": {"kind": "Theirs"}}}
    found = allocated(make_claim("c", request(**SMALL), configs=[theirs])).config
    assert [(one.driver, one.parameters) for one in found] == [("other.example", {"kind": "Theirs"})]


def test_results_carry_a_copy_of_the_requests_tolerations() -> None:
    """From the copy kube-controller-manager reads whether a NoExecute taint evicts the pod."""
    tolerations = [
        {"key": "health", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
        {"operator": "Exists"},
    ]
    sick = {"key": "health", "value": "bad", "effect": "NoExecute"}
    claim = make_claim("c", request(tolerations=tolerations, **SMALL))
    found = allocated(claim, slices=(make_slice("node-a", [gpu(0, taints=(LOCK, sick))]),))
    assert found.to_json()["devices"]["results"][0]["tolerations"] == tolerations


def test_admin_access_is_written_without_a_share() -> None:
    """The result says so, names no share and consumes nothing; others have a share each."""
    claim = make_claim("c", request("look", adminAccess=True), request("use", count=2, **SMALL))
    look, *use = allocated(claim).results
    assert (look.admin_access, look.share_id, dict(look.consumed_capacity)) == (True, None, {})
    assert len({one.share_id for one in use} - {None}) == 2
    assert not any(one.admin_access for one in use)
    assert "adminAccess" not in use[0].to_json()


def test_consumed_capacity_names_every_capacity_also_at_zero() -> None:
    """What is not named would count as unknown on the node."""
    (result,) = allocated(make_claim("c", request(**SMALL))).results
    assert result.to_json()["consumedCapacity"] == {"memory": "1Gi", "cores": "0", "shares": "1"}
