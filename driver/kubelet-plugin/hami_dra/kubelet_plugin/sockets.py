"""The unix sockets that kubelet dials, and the leftovers of processes that were killed."""

from __future__ import annotations

from pathlib import Path

from hami_dra.api import names
from hami_dra.kubelet_plugin import files
from hami_dra.kubelet_plugin.errors import NodeStateError

# sun_path holds 108 bytes with its terminating zero.
_MAX_PATH_BYTES = 107


def dra_socket(plugin_dir: Path) -> Path:
    """Where kubelet sends claims."""
    return plugin_dir / "dra.sock"


def registration_socket(registry_dir: Path) -> Path:
    """Where kubelet finds us: it watches the folder and dials every socket in it."""
    return registry_dir / f"{names.DRIVER}-reg.sock"


def make_way(path: Path) -> None:
    """Remove what a killed process left: kubelet dials a dead socket with growing pauses.

    Raises:
        NodeStateError: the path is too long for a socket, or cannot be removed.
    """
    if len(bytes(path)) > _MAX_PATH_BYTES:
        raise NodeStateError(f"socket path {path} has {len(bytes(path))} bytes, at most {_MAX_PATH_BYTES} can be bound")
    files.make_folder(path.parent)
    files.remove_file(path)


def address(path: Path) -> str:
    """The address in gRPC's spelling."""
    return f"unix:{path}"
