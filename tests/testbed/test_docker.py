"""What is seen of an engine and of kind's node image."""

from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.choice import Observed
from testbed.docker import observe

StandIn = Callable[[str, str], Path]

ENGINE = """
[ "$1" = info ] && echo 28.2.2 && exit
[ "$1" = image ] && {image}
[ "$1" = pull ] && {pull}
"""
MISSING, REFUSED = "{ echo 'No such image' >&2; exit 1; }", "{ echo 'dial tcp: no such host' >&2; exit 1; }"


def seen(monkeypatch: pytest.MonkeyPatch, stand_in: StandIn, script: str) -> Observed:
    monkeypatch.setenv("PATH", str(stand_in("docker", script).parent))
    return observe("kindest/node:v1@sha256:0")


def test_no_docker_program_is_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine where Docker was never installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert observe("kindest/node:v1") == Observed(engine="there is no docker program on PATH")


@pytest.mark.parametrize("status", [0, 1], ids=["old client", "new client"])
def test_a_client_alone_is_no_engine(monkeypatch: pytest.MonkeyPatch, stand_in: StandIn, status: int) -> None:
    """Old clients print an empty version and exit 0."""
    observed = seen(monkeypatch, stand_in, f"echo; echo 'Cannot connect' >&2; exit {status}")
    assert observed.engine == "no Docker engine answers: Cannot connect"


@pytest.mark.parametrize(
    ("image", "pull", "against"),
    [
        pytest.param("{ echo sha256:1; exit; }", REFUSED, "", id="there"),
        pytest.param(MISSING, "{ echo pulled; exit; }", "", id="pulled"),
        pytest.param(MISSING, REFUSED, "kindest/node:v1 is not here and cannot be pulled: dial tcp", id="no registry"),
    ],
)
def test_the_node_image_is_there_or_pulled_or_missing(
    monkeypatch: pytest.MonkeyPatch, stand_in: StandIn, tmp_path: Path, image: str, pull: str, against: str
) -> None:
    """It is pulled only where it is not there."""
    observed = seen(monkeypatch, stand_in, ENGINE.format(image=image, pull=pull))
    assert observed.engine == ""
    assert observed.against_kind.startswith(against)
    assert bool(observed.against_kind) == bool(against)
    assert ("docker pull" in (tmp_path / "calls").read_text()) == (image == MISSING)


def test_no_known_node_image_is_no_kind(monkeypatch: pytest.MonkeyPatch, stand_in: StandIn) -> None:
    """The message says how to name one."""
    monkeypatch.setenv("PATH", str(stand_in("docker", "echo 28.2.2").parent))
    assert "KIND_NODE_IMAGE" in observe("").against_kind
