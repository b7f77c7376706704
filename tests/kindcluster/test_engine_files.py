"""Where an engine of our own keeps what, and how it is told."""

from pathlib import Path

import pytest

from cluster.errors import UsageError
from kindcluster.engine_files import EngineLayout, client_environment, daemon_config

STATE = Path("/var/lib/state")


def test_an_engine_lies_beside_the_local_clusters() -> None:
    """A name of a cluster holds no dot, so no local cluster has this folder or this cgroup."""
    layout = EngineLayout.of(STATE, "demo")
    assert layout.root == STATE / "demo.kind"
    assert layout.cgroup == "hami-dra-demo.kind"


def test_two_engines_share_nothing() -> None:
    """Folder, socket and cgroup are of their own."""
    one, other = (daemon_config(EngineLayout.of(STATE, name), Path("/runtime")) for name in ("one", "other"))
    for key in ("data-root", "hosts", "cgroup-parent"):
        assert one[key] != other[key]


def test_an_engine_writes_nowhere_else() -> None:
    """Below its folder, or below /run, which is a file system of its own there."""
    layout = EngineLayout.of(STATE, "demo")
    config = daemon_config(layout, Path("/runtime"))
    assert Path(config["data-root"]).is_relative_to(layout.root)
    assert all(Path(config[key]).is_relative_to("/run") for key in ("exec-root", "pidfile"))
    assert config["runtimes"][config["default-runtime"]] == {"path": "/runtime"}


def test_a_name_that_is_no_cluster_is_refused() -> None:
    """It becomes part of a path that is removed."""
    with pytest.raises(UsageError, match=r"\.\./x"):
        EngineLayout.of(STATE, "../x")


def test_a_folder_too_long_for_a_socket_is_refused_at_once() -> None:
    """Later the message would be about an engine that does not answer."""
    with pytest.raises(UsageError, match="CLUSTER_STATE"):
        EngineLayout.of(Path("/") / ("x" * 90), "demo")


def test_clients_use_this_engine_whatever_the_user_has_set() -> None:
    """Its own client first on PATH, no other context, and no proxy for the nodes."""
    environment = client_environment(EngineLayout.of(STATE, "demo"), Path("/programs"), "/usr/bin")
    assert environment["DOCKER_HOST"] == "unix:///var/lib/state/demo.kind/docker.sock"
    assert environment["DOCKER_CONTEXT"] == ""
    assert environment["PATH"] == "/programs:/usr/bin"
    assert environment["https_proxy"] == environment["HTTP_PROXY"] == ""
