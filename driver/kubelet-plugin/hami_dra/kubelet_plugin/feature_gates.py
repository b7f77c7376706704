"""Which feature gate of the API server makes it keep a field of a slice."""

from __future__ import annotations

from collections.abc import Iterable

_GATES = {
    "taints": "DRADeviceTaints",
    "allowMultipleAllocations": "DRAConsumableCapacity",
    "requestPolicy": "DRAConsumableCapacity",
}


def gates_of(paths: Iterable[str]) -> tuple[str, ...]:
    """The gates that are off where the fields of these paths were dropped; none where no gate explains it."""
    words = {word.partition("[")[0] for path in paths for word in path.split(".")}
    return tuple(sorted({gate for field, gate in _GATES.items() if field in words}))
