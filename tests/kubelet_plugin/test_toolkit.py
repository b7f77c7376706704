"""NVIDIA's own nvidia-ctk, built from its Go module, on driver roots of the fake driver."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from cluster.build import built
from cluster.programs import NVIDIA_TOOLKIT
from cluster.settings import read_settings
from hami_dra.kubelet_plugin.errors import ToolkitError
from hami_dra.kubelet_plugin.toolkit import NodeRoots, Toolkit, plan_command

CHECKOUT = Path(__file__).parents[2]
CTK = PurePosixPath("/usr/bin/nvidia-ctk")


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder with the toolkit's programs; the first time it takes a minute or two."""
    return built(NVIDIA_TOOLKIT, read_settings())


def install(root: Path, *options: str, profile: str = "h100x4") -> PurePosixPath:
    """Lay out a driver root."""
    build = CHECKOUT / "build/native/fake"
    command = [sys.executable, str(CHECKOUT / "cuda-intercept/fake/install.py"), "--profile", profile]
    subprocess.run([*command, "--build", str(build), "--root", str(root), *options], check=True, capture_output=True)
    return PurePosixPath(root)


def describe(driver: PurePosixPath, program: Path, dev: PurePosixPath | None = None) -> dict[str, Any]:
    """The spec that the production code has it write."""
    toolkit = Toolkit(NodeRoots(Path("/"), driver, dev), (PurePosixPath(program),))
    found = toolkit.find()
    assert found
    spec: dict[str, Any] = json.loads(toolkit.describe_gpus(found))
    return spec


def test_every_gpu_is_a_device_by_its_uuid(tmp_path: Path, programs: Path) -> None:
    """Each has its own node and no other one's; libraries, nvidia-smi and hooks are there for all of them."""
    driver = install(tmp_path / "driver")
    spec = describe(driver, programs / "nvidia-ctk")
    assert spec["kind"] == "k8s.gpu.hami.io/base"
    devices = {d["name"]: [n["path"] for n in d["containerEdits"]["deviceNodes"]] for d in spec["devices"]}
    assert devices.pop("all") == [f"/dev/nvidia{minor}" for minor in range(4)]
    assert sorted(devices.values()) == [[f"/dev/nvidia{minor}"] for minor in range(4)]
    assert all(name.startswith("GPU-") for name in devices)
    edits = spec["containerEdits"]
    mounts = {mount["containerPath"]: mount["hostPath"] for mount in edits["mounts"]}
    library = "usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05"
    assert mounts[f"/{library}"] == f"{driver}/{library}"
    assert mounts["/usr/bin/nvidia-smi"] == f"{driver}/usr/bin/nvidia-smi"
    assert {hook["path"] for hook in edits["hooks"]} == {str(programs / "nvidia-cdi-hook")}


def test_the_toolkit_itself_takes_nvidias_runtime_out_of_the_way(tmp_path: Path, programs: Path) -> None:
    """As our own spec does: with both in a container the value is the same."""
    spec = describe(install(tmp_path / "driver"), programs / "nvidia-ctk")
    assert "NVIDIA_VISIBLE_DEVICES=void" in spec["containerEdits"]["env"]


def test_device_nodes_are_looked_for_below_their_own_root(tmp_path: Path, programs: Path) -> None:
    """GPU Operator's driver container may have them, else they are the node's."""
    driver = install(tmp_path / "driver")
    shutil.copytree(tmp_path / "driver/dev", tmp_path / "node/dev", copy_function=_copy_node)
    spec = describe(driver, programs / "nvidia-ctk", PurePosixPath(tmp_path / "node"))
    nodes = [node["hostPath"] for device in spec["devices"] for node in device["containerEdits"]["deviceNodes"]]
    assert all(path.startswith(f"{tmp_path}/node/dev/nvidia") for path in nodes)
    assert NodeRoots(Path("/"), driver).find_dev() == driver
    shutil.rmtree(tmp_path / "driver/dev")
    assert NodeRoots(Path("/"), driver).find_dev() == PurePosixPath("/")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may enter another root")
def test_it_runs_in_the_nodes_root(tmp_path: Path) -> None:
    """The program sees the node's files and no others, and is given the node's paths."""
    node = tmp_path / "node"
    for name in ("bin/sh", "usr/bin/nvidia-ctk", "driver/dev/nvidiactl"):
        (node / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", node / "bin/sh")
    (node / "driver/dev/nvidiactl").touch()
    (node / CTK.relative_to("/")).write_text('#!/bin/sh\necho /*\necho "$@"\n')
    (node / CTK.relative_to("/")).chmod(0o755)
    toolkit = Toolkit(NodeRoots(node, PurePosixPath("/driver")), (CTK,))
    found = toolkit.find()
    assert found
    seen, words = toolkit.describe_gpus(found).decode().splitlines()
    assert seen == "/bin /driver /usr"
    assert {"--driver-root=/driver", "--dev-root=/driver"} <= {*words.split()}


def test_the_last_words_of_a_failure_are_told(tmp_path: Path, programs: Path) -> None:
    """Here there is no driver under the driver root."""
    with pytest.raises(ToolkitError, match=r"nvidia-ctk on the node: exit status 1: .*failed to initialize NVML"):
        describe(PurePosixPath(tmp_path), programs / "nvidia-ctk")


def test_the_first_program_that_the_node_has_is_taken(tmp_path: Path) -> None:
    """Paths are the node's; a link that leads nowhere from here counts, as it may lead somewhere there."""
    paths = (CTK, PurePosixPath("/usr/local/nvidia/toolkit/nvidia-ctk"))
    toolkit = Toolkit(NodeRoots(tmp_path, PurePosixPath("/")), paths)
    assert toolkit.find() is None
    for path in reversed(paths):
        (tmp_path / path.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.relative_to("/")).symlink_to("/on/the/node")
        found = toolkit.find()
        assert found and found.path == path


def test_the_hooks_are_those_beside_the_program() -> None:
    """An older toolkit has none there and knows where its own are."""
    roots = NodeRoots(Path("/"), PurePosixPath("/run/nvidia/driver"), PurePosixPath("/"))
    with_hook, without = (plan_command(CTK, roots, has_hook=has_hook) for has_hook in (True, False))
    assert {*with_hook} - {*without} == {"--nvidia-cdi-hook-path=/usr/bin/nvidia-cdi-hook"}
    assert {"--driver-root=/run/nvidia/driver", "--dev-root=/", "--class=base"} <= {*without}


def _copy_node(source: str, target: str) -> None:
    subprocess.run(["cp", "-a", source, target], check=True)
