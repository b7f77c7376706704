"""deploy/kind/kind.yaml, read by kind itself.

kind 0.33 reads the file before it looks for an engine, and checks what the file says once an engine has answered.
So without an engine a good file fails on the engine and a bad one on reading; and an engine that answers two
questions and has nothing else shows the checks. No cluster is ever made.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.build import built
from cluster.programs import KIND
from cluster.settings import read_settings
from testbed.names import KIND_CONFIG
from testbed.settings import NODE_IMAGES

pytestmark = pytest.mark.timeout(600)

NO_ENGINE = "failed to get docker info"
BARE_ENGINE = """
case "$1" in
  info) echo '{"CgroupDriver":"systemd","CgroupVersion":"2","MemoryLimit":true,"PidsLimit":true,"CPUShares":true}' ;;
  ps) ;;
  inspect) echo '[]' ;;
  *) echo "this engine makes nothing" >&2; exit 1 ;;
esac
"""


@pytest.fixture(scope="module")
def kind() -> Path:
    return built(KIND, read_settings()) / "kind"


def said(kind: Path, config: Path, path: Path) -> str:
    """What `kind create cluster` complains about with only the programs in the folder `path`."""
    environment = {"PATH": str(path), "HOME": str(path), "KIND_EXPERIMENTAL_PROVIDER": "docker"}
    argv: list[str | Path] = [kind, "create", "cluster", "--config", config, "--kubeconfig", path / "kubeconfig"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    return done.stderr


def broken(tmp_path: Path, old: str, new: str) -> Path:
    """A copy of our file with one mistake."""
    text = KIND_CONFIG.read_text()
    assert old in text
    copy = tmp_path / "broken.yaml"
    copy.write_text(text.replace(old, new, 1))
    return copy


def test_our_file_is_read_and_only_the_engine_is_missing(kind: Path, tmp_path: Path) -> None:
    """kind gets past loading."""
    assert NO_ENGINE in said(kind, KIND_CONFIG, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        pytest.param("name:", "nmae:", "field nmae not found", id="unknown field"),
        pytest.param("v1alpha4", "v1alpha9", "unknown apiVersion: kind.x-k8s.io/v1alpha9", id="unknown version"),
        pytest.param("role: worker", "role: [", "could not determine kind / apiVersion", id="no YAML"),
    ],
)
def test_a_broken_copy_fails_on_loading(kind: Path, tmp_path: Path, old: str, new: str, complaint: str) -> None:
    """The same command with a mistake in the file never asks for an engine."""
    text = said(kind, broken(tmp_path, old, new), tmp_path)
    assert complaint in text
    assert NO_ENGINE not in text


def test_our_file_passes_every_check_and_asks_for_the_known_image(
    kind: Path, tmp_path: Path, stand_in: Callable[[str, str], Path]
) -> None:
    """kind says that it creates the cluster, and wants the node image that we pin."""
    folder = stand_in("docker", BARE_ENGINE).parent
    text = said(kind, KIND_CONFIG, folder)
    assert 'Creating cluster "hami-dra"' in text
    assert "this engine makes nothing" in text
    assert NODE_IMAGES["1.37"] in (tmp_path / "calls").read_text()


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        pytest.param("role: worker", "role: wroker", '"wroker" is not a valid node role', id="unknown role"),
        pytest.param("role: control-plane", "role: worker", "must have at least one control-plane node", id="no head"),
    ],
)
def test_a_copy_that_makes_no_sense_fails_on_the_checks(
    kind: Path, tmp_path: Path, stand_in: Callable[[str, str], Path], old: str, new: str, complaint: str
) -> None:
    """It is read, an engine answers, and nothing is created."""
    folder = stand_in("docker", BARE_ENGINE).parent
    text = said(kind, broken(tmp_path, old, new), folder)
    assert complaint in text
    assert "Creating cluster" not in text
