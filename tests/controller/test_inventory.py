"""Which devices count, how amounts are rounded, and what is summed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from controller_objects import claim_json, gpu, make_claim, make_slice

from hami_dra.api.resources import Device, DeviceResult
from hami_dra.api.share_ids import new_share_id
from hami_dra.controller.allocation import is_foreign
from hami_dra.controller.capacity import consumed_by
from hami_dra.controller.inventory import build_inventory
from hami_dra.controller.usage import DeviceKey, Ledger, Usage


def test_only_the_highest_generation_counts() -> None:
    """An outdated slice of the pool is ignored."""
    old, new = make_slice("node-a", [gpu(0), gpu(1)]), make_slice("node-a", [gpu(2)], generation=2)
    assert [found.device.attributes["minor"].value for found in build_inventory([old, new])] == [2]


def test_a_pool_in_two_slices_counts_when_both_are_there() -> None:
    """Completeness is the number of slices of the generation."""
    parts = [make_slice("node-a", [gpu(n)], count=2, part=n) for n in range(2)]
    assert len(list(build_inventory(parts))) == 2
    assert build_inventory(parts[:1]).skipped == {"node-a": "found 1 slices of generation 1, wanted 2"}


def test_a_pool_with_a_device_twice_is_left_out() -> None:
    """Two devices of one name cannot be told apart."""
    assert build_inventory([make_slice("node-a", [gpu(0), gpu(0)])]).skipped == {
        "node-a": "two devices have the same name"
    }


@pytest.mark.parametrize(
    ("policy", "requested", "expected"),
    [
        pytest.param(None, None, 100, id="no policy, all"),
        pytest.param(None, 7, 7, id="no policy, as asked"),
        pytest.param({"default": "5"}, None, 5, id="default"),
        pytest.param({"default": "5", "validRange": {"min": "4", "step": "3"}}, 1, 4, id="at least min"),
        pytest.param({"default": "4", "validRange": {"min": "4", "step": "3"}}, 5, 7, id="up to the next step"),
        pytest.param({"default": "4", "validRange": {"min": "4", "max": "50"}}, 51, None, id="above max"),
        pytest.param({"default": "4", "validRange": {"min": "4"}}, 101, None, id="above the device"),
        pytest.param({"default": "2", "validValues": ["2", "8"]}, 3, 8, id="next valid value"),
        pytest.param({"default": "2", "validValues": ["2", "8"]}, 9, None, id="no valid value"),
    ],
)
def test_requests_are_rounded_by_the_devices_policy(policy: Any, requested: int | None, expected: int | None) -> None:
    """Default, range with step, and list of values, as the API describes them."""
    capacity = {"value": "100", **({"requestPolicy": policy} if policy else {})}
    device = Device.from_json({"name": "d", "capacity": {"x": capacity}})
    consumed = consumed_by(device, {} if requested is None else {"x": requested})
    assert consumed == (None if expected is None else {"x": expected})


def test_a_request_for_an_unknown_capacity_does_not_fit() -> None:
    """The device is skipped."""
    assert consumed_by(Device(name="d"), {"x": 1}) is None


def result(
    share: str | None = "s", memory: int = 1, *, admin: bool = False, driver: str = "gpu.hami.io"
) -> DeviceResult:
    """One allocation result on one device."""
    return DeviceResult(
        request="r",
        driver=driver,
        pool="node-a",
        device="d",
        share_id=share,
        consumed_capacity={"memory": memory},
        admin_access=admin,
    )


KEY = DeviceKey("node-a", "d")


def test_shares_add_up_and_are_taken_off_again() -> None:
    """The sum of a device follows its claims."""
    ledger = Ledger()
    ledger.put("a", [result(memory=1), result(memory=2)])
    ledger.put("b", [result(memory=4)])
    assert ledger.totals()[KEY] == Usage({"memory": 7})
    assert ledger.totals(without={"a"})[KEY] == Usage({"memory": 4})
    ledger.put("a", [result(memory=5)])
    ledger.drop("b")
    assert ledger.totals()[KEY] == Usage({"memory": 5})
    ledger.drop("a")
    assert ledger.totals() == {}


def test_what_is_known_already_makes_no_new_version_of_a_pool() -> None:
    """Who remembers the pool sees that nothing changed, as when the write that it counted for was answered."""
    ledger = Ledger()
    ledger.put("a", [result(memory=1)])
    before = ledger.totals().pools["node-a"]
    ledger.put("a", [result(memory=1)])
    assert ledger.totals().pools["node-a"] is before
    ledger.put("a", [result(memory=2)])
    assert ledger.totals().pools["node-a"] is not before


def test_a_place_counts_beside_its_claim_only_where_that_does_not() -> None:
    """From the first moment; and to hold it on for longer makes no new version of its pool."""
    ledger = Ledger()
    ledger.put("a", [result(memory=5)])
    ledger.reserve("held", [result(memory=5)], "a")
    held = ledger.totals()
    assert held[KEY] == Usage({"memory": 5})
    ledger.reserve("held", [result(memory=5)], "a")
    assert ledger.totals().pools["node-a"] is held.pools["node-a"]
    ledger.reserve("held", [result(memory=5)], "b")
    assert ledger.totals()[KEY] == Usage({"memory": 10})
    ledger.reserve("held", [result(memory=3)], "a")
    ledger.drop("a")
    assert ledger.totals()[KEY] == Usage({"memory": 3})


def test_admin_access_and_other_drivers_take_nothing_and_whole_devices_block() -> None:
    """Only shares of our devices are summed; a result without a share takes the device."""
    ledger = Ledger()
    ledger.put("a", [result(admin=True), result(driver="other.example")])
    assert ledger.totals() == {}
    ledger.put("b", [result(share=None)])
    assert ledger.totals()[KEY].blocked


@pytest.mark.parametrize(
    ("share", "foreign"),
    [
        pytest.param(new_share_id(), False, id="ours"),
        pytest.param(str(uuid.uuid4()), True, id="kube-scheduler's"),
        pytest.param(None, True, id="whole device"),
    ],
)
def test_our_allocations_are_told_from_others(share: str | None, foreign: bool) -> None:
    """The share's UUID is of version 8, which nobody else makes."""
    results = [result(share).to_json()]
    claim = make_claim("c", status={"allocation": {"devices": {"results": results}}})
    assert is_foreign(claim) is foreign
    assert not is_foreign(make_claim(claim_json()["metadata"]["name"]))
