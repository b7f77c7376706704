"""Names of sockets, and what dead processes left of them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hami_dra.kubelet_plugin import sockets
from hami_dra.kubelet_plugin.errors import NodeStateError

UID = "0d5f2a3e-7f1c-4b4e-9a53-6f1b7c1e2d3f"


def test_two_pods_have_sockets_of_their_own() -> None:
    """kubelet refuses a second plugin on one endpoint."""
    registry, plugins = Path("/var/lib/kubelet/plugins_registry"), Path("/var/lib/kubelet/plugins/gpu.hami.io")
    assert sockets.dra_socket(plugins, UID).name == f"dra-{UID}.sock"
    assert sockets.registration_socket(registry, UID).name == f"gpu.hami.io-{UID}-reg.sock"
    assert sockets.registration_socket(registry).name == "gpu.hami.io-reg.sock"


@pytest.mark.parametrize(
    ("room", "name"),
    [
        (57, f"gpu.hami.io-{UID}-reg.sock"),
        (56, "gpu.hami.io-"),
        (32, "gpu.hami.io-"),
    ],
)
def test_names_get_shorter_where_the_path_is_long(room: int, name: str) -> None:
    """A socket's path has at most 107 bytes."""
    registry = Path("/" + "r" * (107 - room - 2))
    path = sockets.registration_socket(registry, UID)
    assert path.name.startswith(name)
    assert path.name.endswith("-reg.sock")
    assert len(bytes(path)) <= 107


@pytest.mark.parametrize(("room", "is_plain"), [(45, True), (44, False), (20, False)])
def test_claims_are_served_under_a_long_kubelet_folder_too(room: int, is_plain: bool) -> None:
    """Two pods still have two names."""
    plugins = Path("/" + "p" * (107 - room - 2))
    path, other = (sockets.dra_socket(plugins, uid) for uid in (UID, UID[::-1]))
    assert (path.name == f"dra-{UID}.sock") == is_plain
    assert path != other
    assert len(bytes(path)) <= 107


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    """The kernel would say "invalid argument"."""
    with pytest.raises(NodeStateError, match="at most 107 can be bound"):
        sockets.make_way(tmp_path / ("x" * 107))


def bound(path: Path, *, listening: bool, age_seconds: int = 60) -> socket.socket:
    """A socket there since a while."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    if listening:
        made.listen()
    then = path.stat().st_mtime - age_seconds
    os.utime(path, (then, then))
    return made


def test_only_dead_sockets_of_ours_are_removed(tmp_path: Path) -> None:
    """A pod that was killed leaves sockets whose names no later pod has."""
    registry, plugins = tmp_path / "reg", tmp_path / "plugins"
    registry.mkdir()
    plugins.mkdir()
    made = [
        bound(registry / "gpu.hami.io-old-reg.sock", listening=False),
        bound(registry / "gpu.hami.io-new-reg.sock", listening=True),
        bound(registry / "gpu.hami.io-young-reg.sock", listening=False, age_seconds=0),
        bound(registry / "other.example-reg.sock", listening=False),
        bound(plugins / "dra-old.sock", listening=False),
        bound(plugins / "dra-new.sock", listening=True),
    ]
    (plugins / "calls.lock").write_text("")
    removed = sockets.remove_dead(plugins, registry)
    assert {path.name for path in removed} == {"gpu.hami.io-old-reg.sock", "dra-old.sock"}
    assert not (registry / "gpu.hami.io-old-reg.sock").exists()
    for each in made:
        each.close()
