"""The text side of a share: its limits file, its environment variable, the preload file."""

from __future__ import annotations

from dataclasses import dataclass

from hami_dra.api import names
from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.entries import ShareResult


@dataclass(frozen=True)
class Limits:
    """What a limits file says: NVML UUID, bytes, percent."""

    share_id: ShareId
    uuid: str
    memory_bytes: int
    core_percent: int
    core_limit: str
    priority: int | None


def render_limits(share: ShareResult) -> bytes:
    """The limits file: ASCII `key value` lines, each key once."""
    lines = [
        (names.LIMITS_KEY_LAYOUT, str(layout.LIMITS_LAYOUT)),
        (names.LIMITS_KEY_SHARE, share.share_id),
        (names.LIMITS_KEY_UUID, share.uuid),
        (names.LIMITS_KEY_MEMORY, str(share.memory_bytes)),
        (names.LIMITS_KEY_CORES, str(share.core_percent)),
        (names.LIMITS_KEY_CORE_LIMIT, share.core_limit),
    ]
    if share.priority is not None:
        lines.append((names.LIMITS_KEY_PRIORITY, str(share.priority)))
    return "".join(f"{key} {value}\n" for key, value in lines).encode("ascii")


def parse_limits(data: bytes) -> Limits | None:
    """What `render_limits` wrote; None for anything else."""
    try:
        pairs = dict(line.split(" ", 1) for line in data.decode("ascii").splitlines())
        return Limits(
            share_id=ShareId(pairs[names.LIMITS_KEY_SHARE]),
            uuid=pairs[names.LIMITS_KEY_UUID],
            memory_bytes=int(pairs[names.LIMITS_KEY_MEMORY]),
            core_percent=int(pairs[names.LIMITS_KEY_CORES]),
            core_limit=pairs[names.LIMITS_KEY_CORE_LIMIT],
            priority=int(pairs[names.LIMITS_KEY_PRIORITY]) if names.LIMITS_KEY_PRIORITY in pairs else None,
        )
    except (ValueError, KeyError):
        return None


def environment_of(share: ShareResult) -> str:
    """The `NAME=value` entry of one share."""
    value = f"uuid={share.uuid},memory={share.memory_bytes},cores={share.core_percent}"
    return f"{names.share_env_name(share.share_id)}={value}"


def container_library(version: str) -> str:
    """Where a container sees the interceptor of this version."""
    return f"{names.CONTAINER_LIBRARY_STEM}{version}.so"


def render_preload(version: str) -> bytes:
    """The content of the preload file of this version."""
    return f"{container_library(version)}\n".encode("ascii")
