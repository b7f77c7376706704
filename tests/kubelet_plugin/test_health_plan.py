"""Judging GPUs: XIDs, ECC, what the driver asks for, the operator's list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_objects import NODE, device, inventory, uuid

from hami_dra.api.names import DeviceName
from hami_dra.kubelet_plugin.health import Trouble
from hami_dra.kubelet_plugin.health_plan import GpuState, HealthJudge, HealthRules, XidEvent, parse_cordon
from hami_dra.kubelet_plugin.taints import join, plan_health_taints, plan_taints

A = DeviceName(device(0))
FINE = {uuid(0): GpuState(0, 0), uuid(1): GpuState(0, 0)}


@pytest.fixture
def judge() -> HealthJudge:
    """HAMi's own list of XIDs, ten minutes."""
    return HealthJudge(HealthRules({13, 31, 43, 45, 68, 109}, 600.0, "NoSchedule"))


def values(judge: HealthJudge, states: dict[str, GpuState], now: float) -> dict[str, str]:
    """The label value of each kind of trouble of GPU 0."""
    return {kind: found[A].value for kind, found in judge.judge(states, now).items() if A in found}


@pytest.mark.parametrize("xid", [13, 31, 43, 45, 68, 109])
def test_an_xid_of_the_programs_own_making_is_no_fault(judge: HealthJudge, xid: int) -> None:
    """A segmentation fault on the GPU is not the GPU's."""
    assert not judge.note(XidEvent(uuid(0), xid), 0)
    assert values(judge, FINE, 1) == {}


def test_another_xid_counts_until_the_driver_is_content_for_a_while(judge: HealthJudge) -> None:
    """And only against its own GPU."""
    assert judge.note(XidEvent(uuid(0), 48), 0)
    assert values(judge, FINE, 599) == {"xid": "xid-48"}
    assert DeviceName(device(1)) not in judge.judge(FINE, 1)["xid"]
    assert values(judge, FINE, 600) == {}


def test_a_new_xid_begins_the_wait_anew(judge: HealthJudge) -> None:
    """One that fails every five minutes never gets work."""
    judge.note(XidEvent(uuid(0), 48), 0)
    judge.note(XidEvent(uuid(0), 63), 300)
    assert values(judge, FINE, 899) == {"xid": "xid-63"}


def test_a_gpu_whose_driver_asks_for_a_reset_waits_for_it(judge: HealthJudge) -> None:
    """However long that takes; then it is healthy at once."""
    judge.note(XidEvent(uuid(0), 95), 0)
    needs = {uuid(0): GpuState(0, 1)}
    assert values(judge, needs, 10_000) == {"xid": "xid-95", "recovery": "reset"}
    assert values(judge, FINE, 10_001) == {}


def test_a_driver_that_was_loaded_anew_has_reset_its_gpus(judge: HealthJudge) -> None:
    """Nothing that was before counts."""
    judge.note(XidEvent(uuid(0), 48), 0)
    judge.judge({uuid(0): GpuState(7, 0)}, 0)
    judge.driver_restarted()
    assert values(judge, FINE, 1) == {}


@pytest.mark.parametrize("silent", [{uuid(0): GpuState(lost=True)}, {}], ids=["lost", "not asked"])
def test_a_gpu_that_does_not_answer_takes_nothing_back(judge: HealthJudge, silent: dict[str, GpuState]) -> None:
    """Nor is it healthy for the moment until it is known to be lost."""
    judge.judge(FINE, 0)
    judge.note(XidEvent(uuid(0), 48), 0)
    wrong = values(judge, {uuid(0): GpuState(2, 1)}, 1)
    assert wrong == {"xid": "xid-48", "ecc": "ecc", "recovery": "reset"}
    assert values(judge, silent, 10_000) == wrong
    assert values(judge, FINE, 10_001) == {}


def test_only_new_ecc_errors_count(judge: HealthJudge) -> None:
    """Those from before our start were there when the GPU was found fit; a reset counts from nothing."""
    assert values(judge, {uuid(0): GpuState(3)}, 0) == {}
    assert values(judge, {uuid(0): GpuState(4)}, 1) == {"ecc": "ecc"}
    assert values(judge, {uuid(0): GpuState(0)}, 2) == {}
    assert values(judge, {uuid(0): GpuState(1)}, 3) == {"ecc": "ecc"}


def test_a_gpu_that_says_nothing_is_not_accused(judge: HealthJudge) -> None:
    """Consumer cards have no ECC and old drivers no recovery action."""
    assert values(judge, {uuid(0): GpuState()}, 0) == {}
    judge.note(XidEvent(None, 79), 0)
    assert values(judge, {uuid(0): GpuState(lost=True)}, 1) == {}


def test_the_operators_list_is_read_as_people_write_it() -> None:
    """UUIDs as nvidia-smi spells them; effect and reason may be missing."""
    text = f"# spare parts\n{uuid(0)} NoExecute fan is dead\n\n  {device(1)}   noisy  # ticket 7\nGPU-x NoSchedule\n"
    assert parse_cordon(text) == {
        A: Trouble("operator", "cordoned by the operator: fan is dead", "NoExecute"),
        DeviceName(device(1)): Trouble("operator", "cordoned by the operator: noisy", "NoSchedule"),
        DeviceName("gpu-x"): Trouble("operator", "cordoned by the operator", "NoSchedule"),
    }


@given(st.text())
def test_any_list_can_be_read(text: str) -> None:
    """A typing error must not stop the watch."""
    for trouble in parse_cordon(text).values():
        assert trouble.effect in ("NoSchedule", "NoExecute")


def test_all_failures_make_one_taint_and_a_cordon_another() -> None:
    """The strongest effect counts; values are what the API server takes."""
    troubles = {
        A: {
            "xid": Trouble("xid-48", "…", "NoSchedule"),
            "recovery": Trouble("reset", "…", "NoExecute"),
            "cordon": Trouble("operator", "…", "NoSchedule"),
        }
    }
    found = plan_health_taints(troubles, (), "now")[A]
    assert [(t.key, t.value, t.effect) for t in found] == [
        ("gpu.hami.io/unhealthy", "reset.xid-48", "NoExecute"),
        ("gpu.hami.io/cordoned", "operator", "NoSchedule"),
    ]


@given(st.text(min_size=1, max_size=200))
def test_a_taints_value_is_always_a_label(value: str) -> None:
    """Else the API server refuses the whole slice."""
    ((taint,),) = plan_health_taints({A: {"x": Trouble(value, "", "NoSchedule")}}, (), "now").values()
    assert len(taint.value) <= 63
    assert all(char.isascii() and (char.isalnum() or char in "-._") for char in taint.value)
    assert not taint.value or (taint.value[0].isalnum() and taint.value[-1].isalnum())


def test_taints_of_one_device_stand_together() -> None:
    """The reserving one first, so that a write changes little."""
    reserved = plan_taints(inventory().uuids, (), "now")
    joined = join(reserved, plan_health_taints({A: {"x": Trouble("v", "", "NoSchedule")}}, (), "now"))
    assert [taint.key for taint in joined[A]] == ["gpu.hami.io/allocator", "gpu.hami.io/unhealthy"]
    assert NODE
