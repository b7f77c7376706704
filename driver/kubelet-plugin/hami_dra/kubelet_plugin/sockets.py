"""The unix sockets that kubelet dials, and the leftovers of processes that were killed.

During an update two pods serve on one node, so their sockets have the pod's UID
in their names; kubelet uses the one that registered last.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import time
from pathlib import Path

from hami_dra.api import names
from hami_dra.kubelet_plugin import files
from hami_dra.kubelet_plugin.errors import NodeStateError

# sun_path holds 108 bytes with its terminating zero.
_MAX_PATH_BYTES = 107
_SUFFIX = "-reg.sock"
# A socket that was bound just now may not listen yet.
_SETTLED_SECONDS = 10.0


def dra_socket(plugin_dir: Path, pod_uid: str = "") -> Path:
    """Where kubelet sends claims; with a digest of the pod's UID where the path would be too long."""
    if not pod_uid:
        return plugin_dir / "dra.sock"
    plain, short = (plugin_dir / f"dra-{part}.sock" for part in (pod_uid, _digest(pod_uid)))
    return plain if _fits(plain) else short


def registration_socket(registry_dir: Path, pod_uid: str = "") -> Path:
    """Where kubelet finds us: it watches the folder and dials every socket in it.

    With a digest of the pod's UID where the path would be too long.
    """
    if not pod_uid:
        return registry_dir / f"{names.DRIVER}{_SUFFIX}"
    plain, short = (registry_dir / f"{names.DRIVER}-{part}{_SUFFIX}" for part in (pod_uid, _digest(pod_uid)))
    return plain if _fits(plain) else short


def make_way(path: Path) -> None:
    """Remove what a killed process left: kubelet dials a dead socket with growing pauses.

    Raises:
        NodeStateError: the path is too long for a socket, or cannot be removed.
    """
    if not _fits(path):
        raise NodeStateError(f"socket path {path} has {len(bytes(path))} bytes, at most {_MAX_PATH_BYTES} can be bound")
    files.make_folder(path.parent)
    files.remove_file(path)


def remove_dead(plugin_dir: Path, registry_dir: Path) -> list[Path]:
    """Remove the sockets of plugin processes that are gone, whatever their pods' UIDs; which ones they were."""
    registrars = [path for path in files.list_folder(registry_dir) if _is_registrar(path.name)]
    servers = [path for path in files.list_folder(plugin_dir) if path.name.startswith("dra") and path.suffix == ".sock"]
    dead = [path for path in (*registrars, *servers) if _is_dead(path)]
    for path in dead:
        files.remove_file(path)
    return dead


def address(path: Path) -> str:
    """The address in gRPC's spelling."""
    return f"unix:{path}"


def _digest(pod_uid: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(pod_uid.encode()).digest()[:8]).decode().rstrip("=")


def _is_registrar(name: str) -> bool:
    return name.startswith(names.DRIVER) and name.endswith(_SUFFIX)


def _is_dead(path: Path) -> bool:
    try:
        if not path.is_socket() or time.time() - path.stat().st_mtime < _SETTLED_SECONDS:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            probe.connect(str(path))
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _fits(path: Path) -> bool:
    return len(bytes(path)) <= _MAX_PATH_BYTES
