"""Taints of devices, the rules that add them, and what tolerates them."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import LOCK, Json, gpu, gpu_uuid, make_claim, make_slice, request
from planning import SICK, SMALL, decide, numbers, refused, rule, snapshot

from hami_dra.controller.plan import Placement


@pytest.mark.parametrize(
    ("tolerations", "tolerated"),
    [
        pytest.param([], False, id="none"),
        pytest.param([{"operator": "Exists"}], True, id="everything"),
        pytest.param([{"operator": "Exists", "effect": "NoSchedule"}], False, id="another effect"),
        pytest.param([{"operator": "Exists", "effect": "NoExecute"}], True, id="the effect"),
        pytest.param([{"key": "health", "operator": "Exists"}], True, id="the key"),
        pytest.param([{"key": "other", "operator": "Exists"}], False, id="another key"),
        pytest.param([{"key": "health", "value": "bad"}], True, id="equal"),
        pytest.param([{"key": "health", "operator": "Equal", "value": "good"}], False, id="not equal"),
        pytest.param([{"key": "health", "operator": "Exists", "tolerationSeconds": 5}], True, id="for a while"),
        pytest.param([{"operator": "Equal", "value": "bad"}], True, id="equal, of any key"),
        pytest.param([{"value": "bad", "effect": "NoSchedule"}], False, id="equal, of any key, another effect"),
        pytest.param([{"operator": "Equal"}], False, id="no value, of any key"),
        pytest.param([{"key": "health", "operator": "Like", "value": "bad"}], False, id="an operator of later"),
    ],
)
def test_a_taint_is_tolerated_or_not(tolerations: list[Json], tolerated: bool) -> None:
    """NoExecute keeps new claims away as NoSchedule does, unless key, value and effect are tolerated."""
    where = snapshot((make_slice("node-a", [gpu(0, taints=(LOCK, SICK))]),))
    outcome = decide(make_claim("c", request(tolerations=tolerations, **SMALL)), where=where)
    assert isinstance(outcome, Placement) is tolerated


def test_every_taint_must_be_tolerated_and_an_effect_of_none_does_nothing() -> None:
    """A taint that only informs keeps nobody away."""
    told = {"key": "told", "effect": "None"}
    other = {"key": "other", "effect": "NoSchedule"}
    where = snapshot((make_slice("node-a", [gpu(0, taints=(LOCK, SICK, other)), gpu(1, taints=(LOCK, told))]),))
    claim = make_claim("c", request(count=2, tolerations=[{"key": "health", "operator": "Exists"}], **SMALL))
    assert refused(decide(claim, where=where))
    assert numbers(decide(make_claim("c", request(**SMALL)), where=where)) == [1]


@pytest.mark.parametrize(
    ("selector", "gpus"),
    [
        pytest.param({}, None, id="empty: every device"),
        pytest.param({"driver": "gpu.hami.io"}, None, id="driver"),
        pytest.param({"driver": "other.example"}, 0, id="other driver"),
        pytest.param({"pool": "node-a", "device": gpu_uuid(0).lower()}, 1, id="device"),
        pytest.param({"pool": "node-b", "device": gpu_uuid(0).lower()}, 0, id="device of another pool"),
        pytest.param(None, 0, id="none: no device"),
    ],
)
def test_a_rule_taints_the_devices_that_it_selects(selector: Any, gpus: int | None) -> None:
    """All that is given must be equal; no selector selects nothing."""
    spec = {} if selector is None else {"deviceSelector": selector}
    outcome = decide(make_claim("c", request(**SMALL)), where=snapshot((make_slice("node-a"),), (rule(**spec),)))
    if gpus is None:
        assert refused(outcome) == "0/4 GPUs: 4 CardCordoned"
    else:
        assert numbers(outcome) == [gpus]


def test_a_rule_with_our_own_taint_is_not_looked_at() -> None:
    """As little as the lock itself."""
    lock = {name: value for name, value in LOCK.items() if name != "timeAdded"}
    assert numbers(decide(make_claim(), where=snapshot(rules=(rule(deviceSelector={}, taint=lock),)))) == [0]
