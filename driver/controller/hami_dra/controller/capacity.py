"""What a request consumes of a device's capacities, by the device's request policies.

Source of the rules: resource.k8s.io/v1 CapacityRequestPolicy. All amounts are whole base units (bytes, percent, 1).
"""

from __future__ import annotations

from collections.abc import Mapping

from hami_dra.api.resources import Device, DeviceCapacity, ValidRange


def consumed_by(device: Device, requested: Mapping[str, int]) -> Mapping[str, int] | None:
    """Every capacity of the device with the amount the request takes, zero included.

    None when the request names a capacity the device lacks, or asks more than its policy or size allows.
    """
    if not requested.keys() <= device.capacity.keys():
        return None
    consumed: dict[str, int] = {}
    for name, capacity in device.capacity.items():
        amount = _rounded(capacity, requested.get(name))
        if amount is None or amount > capacity.value:
            return None
        consumed[name] = amount
    return consumed


def _rounded(capacity: DeviceCapacity, requested: int | None) -> int | None:
    policy = capacity.request_policy
    if policy is None:
        return capacity.value if requested is None else requested
    if requested is None:
        return capacity.value if policy.default is None else policy.default
    if policy.valid_range is not None:
        return _in_range(policy.valid_range, requested)
    if policy.valid_values:
        return min((value for value in policy.valid_values if value >= requested), default=None)
    return requested


def _in_range(valid: ValidRange, requested: int) -> int | None:
    amount = max(requested, valid.min)
    if valid.step:
        amount = valid.min + -(-(amount - valid.min) // valid.step) * valid.step
    return None if valid.max is not None and amount > valid.max else amount
