"""The CDI spec of a claim, and what a base device is called."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from hami_dra.api import names
from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin.entries import Entry, ShareResult
from hami_dra.kubelet_plugin.metadata_plan import container_path, first_of_requests
from hami_dra.kubelet_plugin.paths import NodePaths
from hami_dra.kubelet_plugin.share_text import container_library, environment_of

_READ_ONLY = ["ro", "nosuid", "nodev", "bind", "rprivate"]
_ALL = "all"
_READ_WRITE = ["rw", "nosuid", "nodev", "bind", "rprivate"]


def cdi_ids(share_id: ShareId, uuid: str) -> tuple[str, str]:
    """What kubelet is given for a share, the share first: it becomes the resourceID in the pod's status."""
    return (names.cdi_share_device(share_id), names.cdi_base_device(uuid))


def plan_spec(entry: Entry, paths: NodePaths) -> dict[str, Any] | None:
    """The claim's spec: a device per share, what all of them need once; None without shares."""
    if not entry.shares:
        return None
    return {
        "cdiVersion": _minimal_version(entry),
        "kind": names.CDI_KIND_SHARE,
        "devices": [_device(share, paths, _metadata_mounts(entry, share, paths)) for share in entry.shares],
        "containerEdits": {
            # Images that say NVIDIA_VISIBLE_DEVICES=all would get every GPU from NVIDIA's runtime hook.
            "env": [f"{names.NVIDIA_VISIBLE_DEVICES}={names.NVIDIA_VISIBLE_DEVICES_VOID}"],
            "mounts": [
                _mount(str(paths.preload(entry.library)), names.PRELOAD_PATH, _READ_ONLY),
                _mount(str(paths.library(entry.library)), container_library(entry.library), _READ_ONLY),
            ],
        },
    }


def find_shares(spec: object) -> tuple[ShareId, ...]:
    """The shares that a spec of ours names; nothing of a spec that is not one."""
    if not isinstance(spec, dict) or spec.get("kind") != names.CDI_KIND_SHARE:
        return ()
    return tuple(ShareId(name) for name in _device_names(spec))


def find_library(spec: object) -> str:
    """The library version that a spec of ours mounts; empty where it does not say."""
    if not find_shares(spec) or not isinstance(spec, dict):
        return ""
    try:
        mounts = spec["containerEdits"]["mounts"]
        sources = {mount["containerPath"]: mount["hostPath"] for mount in mounts}
        return PurePosixPath(sources[names.PRELOAD_PATH]).name
    except (KeyError, TypeError):
        return ""


def find_bases(spec: object) -> frozenset[str]:
    """The GPUs, by NVML's UUID, whose base device this spec defines."""
    if not isinstance(spec, dict) or spec.get("kind") != names.CDI_KIND_BASE:
        return frozenset()
    return frozenset(_device_names(spec))


def without_all(spec: object) -> dict[str, Any] | None:
    """The base spec without the device that is every GPU, also such as we leave out; None where it is no base spec."""
    if not isinstance(spec, dict) or not find_bases(spec):
        return None
    devices = [device for device in spec["devices"] if not isinstance(device, dict) or device.get("name") != _ALL]
    return {**spec, "devices": devices}


def _device_names(spec: dict[str, Any]) -> list[str]:
    devices = spec.get("devices")
    if not isinstance(devices, list):
        return []
    return [d["name"] for d in devices if isinstance(d, dict) and isinstance(d.get("name"), str)]


def _metadata_mounts(entry: Entry, share: ShareResult, paths: NodePaths) -> list[dict[str, Any]]:
    return [
        _mount(str(paths.metadata(entry.claim.uid, request)), container_path(entry, request), _READ_ONLY)
        for request, first in first_of_requests(entry).items()
        if first is share
    ]


def _device(share: ShareResult, paths: NodePaths, more_mounts: list[dict[str, Any]]) -> dict[str, Any]:
    host = paths.share(share.share_id)
    container = f"{names.SHARES_DIR}/{share.share_id}"
    modes = (
        (names.LIMITS_FILE, _READ_ONLY),
        (names.NODE_FILE, _READ_ONLY),
        (names.USAGE_FILE, _READ_WRITE),
    )
    return {
        "name": share.share_id,
        "containerEdits": {
            "env": [environment_of(share)],
            "mounts": [
                *(_mount(str(host / name), f"{container}/{name}", options) for name, options in modes),
                *more_mounts,
            ],
        },
    }


def _mount(host: str, container: str, options: list[str]) -> dict[str, Any]:
    return {"hostPath": host, "containerPath": container, "options": options}


def _minimal_version(entry: Entry) -> str:
    # Before 0.5.0 a device name had to start with a letter; half of all UUIDs start with a digit.
    return "0.5.0" if any(share.share_id[:1].isdigit() for share in entry.shares) else "0.3.0"
