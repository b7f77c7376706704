"""Who else gives out a node's GPUs: pure.

A DRA driver says so in its ResourceSlices, by an attribute `uuid` (of a MIG device
`parentUUID`); a device plugin by the ids that kubelet has of it, which begin with
the UUID, also where one GPU has several.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from hami_dra.api import names
from hami_dra.api.resources import JsonObject

_UUID_ATTRIBUTES = ("uuid", "parentUUID")


def find_owners(
    uuids: Collection[str], slices: Iterable[JsonObject], device_ids: Mapping[str, Iterable[str]]
) -> dict[str, str]:
    """Those of the GPUs that another one gives out, and who that is; `device_ids` by resource name."""
    ours = {uuid.lower(): uuid for uuid in uuids}
    owners: dict[str, str] = {}
    for resource, ids in device_ids.items():
        for uuid in _uuids_in(ids, ours):
            owners[ours[uuid]] = f"the device plugin of {resource}"
    for driver, named in _published(slices):
        if named.lower() in ours:
            owners[ours[named.lower()]] = f"the DRA driver {driver}"
    return owners


def _uuids_in(device_ids: Iterable[str], uuids: Collection[str]) -> set[str]:
    ids = [device_id.lower() for device_id in device_ids]
    return {uuid for uuid in uuids if any(device_id.startswith(uuid) for device_id in ids)}


def _published(slices: Iterable[JsonObject]) -> Iterator[tuple[str, str]]:
    for piece in slices:
        driver = piece["spec"]["driver"]
        if driver == names.DRIVER:
            continue
        for device in piece["spec"].get("devices") or ():
            for name, value in (device.get("attributes") or {}).items():
                if name.rpartition("/")[2] in _UUID_ATTRIBUTES and value.get("string"):
                    yield driver, value["string"]
