"""What claims take of the GPUs, against what the GPUs have."""

from collections import defaultdict
from collections.abc import Iterable

from hami_dra.api.quantity import parse_quantity
from testbed.kubectl import Json

Taken = dict[str, dict[str, int]]


def capacities(slices: Iterable[Json], driver: str) -> Taken:
    """Per device and capacity name, what is there."""
    found: Taken = {}
    for piece in slices:
        if piece["spec"]["driver"] == driver:
            for device in piece["spec"].get("devices", []):
                found[device["name"]] = {k: parse_quantity(v["value"]) for k, v in device["capacity"].items()}
    return found


def taken(claims: Iterable[Json], driver: str) -> Taken:
    """Per device and capacity name, what allocated claims consume."""
    sums: Taken = defaultdict(lambda: defaultdict(int))
    for claim in claims:
        allocation = claim.get("status", {}).get("allocation", {})
        for result in allocation.get("devices", {}).get("results", []):
            if result["driver"] == driver:
                for name, amount in result.get("consumedCapacity", {}).items():
                    sums[result["device"]][name] += parse_quantity(amount)
    return sums


def overallocated(slices: Iterable[Json], claims: Iterable[Json], driver: str) -> list[str]:
    """One line for each capacity of a GPU that claims take more of than there is."""
    there = capacities(slices, driver)
    lines = []
    for device, amounts in sorted(taken(claims, driver).items()):
        for name, amount in sorted(amounts.items()):
            if amount > there.get(device, {}).get(name, 0):
                lines.append(f"{device}: {name} {amount} of {there.get(device, {}).get(name, 0)}")
    return lines
