"""The chart's admission policy against tolerations of the taint that reserves devices, as far as it is one expression.

What kube-scheduler takes for tolerated is what it must deny.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from controller_objects import LOCK, Json, gpu, make_claim, make_slice, request
from planning import MATCHES, SMALL, decide, snapshot

from hami_dra.controller.inventory import build_inventory
from hami_dra.controller.plan import Placement

POLICY = Path(__file__).parents[2] / "deploy/helm/hami-dra/templates/policy-reserved-devices.yaml"
(GPU,) = build_inventory([make_slice("node-a", [gpu(0)])])
EVERY = [{}, {"value": "controller"}, {"value": "other"}]
TOLERATIONS: list[Json] = [
    {**key, **effect, "operator": operator, **value}
    for key in ({}, {"key": LOCK["key"]}, {"key": "other"})
    for effect in ({}, {"effect": "NoSchedule"}, {"effect": "NoExecute"})
    for operator, values in (("Exists", [{}]), ("Equal", EVERY))
    for value in values
]


def is_denied(toleration: Json, *, asks_for_us: bool = True) -> bool:
    """Whether the policy denies the toleration, in a request of which it sees, or does not, that it is for us."""
    found = re.search(r"\$ours := `(.*)`", POLICY.read_text(encoding="utf-8"))
    assert found is not None
    expression = found[1].replace("%s", str(asks_for_us).lower())
    return MATCHES(f"cel.bind(t, {json.dumps(toleration)}, {expression})", GPU)


def is_tolerated(toleration: Json) -> bool:
    """Whether a taint like the one that reserves devices is tolerated by it."""
    taint = {**LOCK, "key": "like.example/lock"}
    where = snapshot((make_slice("node-a", [gpu(0, taints=(LOCK, taint))]),))
    said = {**toleration, **({"key": taint["key"]} if toleration.get("key") == LOCK["key"] else {})}
    return isinstance(decide(make_claim("c", request(tolerations=[said], **SMALL)), where=where), Placement)


@pytest.mark.parametrize("toleration", TOLERATIONS, ids=str)
def test_a_toleration_by_which_kube_scheduler_would_pass_the_taint_is_denied(toleration: Json) -> None:
    """It would allocate beside the controller. One of the same key that does not is denied as well."""
    assert is_denied(toleration) or not is_tolerated(toleration)


def test_requests_of_other_versions_of_the_api_are_seen_in_the_form_that_is_read() -> None:
    """In v1beta1 tolerations stand elsewhere; it is converted only where no rule names it."""
    assert re.findall(r"apiVersions: (.*)", POLICY.read_text(encoding="utf-8")) == ["[v1]"]


@pytest.mark.parametrize(
    "toleration",
    [{"operator": "Exists"}, {"operator": "Exists", "effect": "NoExecute"}, {"key": "other", "value": "controller"}],
    ids=str,
)
def test_tolerations_of_other_devices_taints_are_none_of_its_business(toleration: Json) -> None:
    """Requests for other drivers may tolerate everything that these have."""
    assert not is_denied(toleration, asks_for_us=False)
