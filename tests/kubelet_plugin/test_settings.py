"""Settings come from four places, the last one wins."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from hami_dra.kubelet_plugin.errors import SettingsError
from hami_dra.kubelet_plugin.settings import Allocator, Settings, camel_case, load_settings

SAMPLES = {
    "allocator": "scheduler",
    "mig_strategy": "mixed",
    "shares_per_gpu": "7",
    "log_level": "DEBUG",
    "include_uuids": "GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01",
    "exclude_uuids": "GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01, GPU-3b9c7d52-8e4f-4a16-b2c7-5f0e9d4a6c12",
    "include_indices": "0,2",
    "leave_owned": "false",
    "exclude_indices": "1",
    "on_bypass": "evict",
    "bypass_mib": "100",
    "hami_metrics": "true",
    "on_unhealthy": "NoExecute",
    "application_xids": "1, 2",
    "xid_hold_seconds": "9",
    "gate_look_seconds": "5",
}
NAMED = {"HAMI_DRA_NODE_NAME": "node-a"}


def sample(name: str) -> str:
    """A valid value that is not the default."""
    return SAMPLES.get(name, f"/some/{name}")


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_setting_can_be_given_in_all_three_ways(name: str, tmp_path: Path) -> None:
    """No setting is forgotten in one of the sources, and flags beat the environment, which beats the file."""
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({camel_case(name): sample(name)}))
    variable, flag = f"HAMI_DRA_{name.upper()}", f"--{name.replace('_', '-')}={sample(name)}"
    by_file = load_settings([f"--config={file}"], {} if name == "node_name" else NAMED)
    by_environment = load_settings([], {**NAMED, variable: sample(name)})
    by_flag = load_settings([flag], NAMED)
    assert getattr(by_file, name) == getattr(by_environment, name) == getattr(by_flag, name)
    assert getattr(by_flag, name) != getattr(Settings(), name)


def test_the_later_source_wins(tmp_path: Path) -> None:
    """Defaults, file, environment, flags."""
    file = tmp_path / "config.yaml"
    file.write_text("sharesPerGpu: 2\n")
    assert load_settings([f"--config={file}"], NAMED).shares_per_gpu == 2
    environment = {**NAMED, "HAMI_DRA_SHARES_PER_GPU": "3"}
    assert load_settings([f"--config={file}"], environment).shares_per_gpu == 3
    assert load_settings([f"--config={file}", "--shares-per-gpu=4"], environment).shares_per_gpu == 4


def test_controller_mode_is_the_default() -> None:
    """The taint is published unless somebody says otherwise."""
    assert load_settings([], NAMED).allocator is Allocator.CONTROLLER


def test_a_settings_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    file = tmp_path / "config.yaml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"config.yaml: .*can't decode"):
        load_settings([f"--config={file}"], NAMED)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {}, "no node name"),
        (["--allocator=both"], NAMED, "flag --allocator: found 'both', wanted one of controller, scheduler"),
        ([], {**NAMED, "HAMI_DRA_SHARES_PER_GPU": "many"}, "HAMI_DRA_SHARES_PER_GPU: found 'many'"),
        (["--shares-per-gpu=0"], NAMED, "wanted a whole number from 1"),
        (["--hami-metrics=perhaps"], NAMED, "flag --hami-metrics: found 'perhaps', wanted true or false"),
        (["--application-xids=13;31"], NAMED, "applicationXids is '13;31'"),
        (["--log-level=LOUD"], NAMED, "logLevel is 'LOUD'"),
        (["--include-uuids=GPU-1"], NAMED, "includeUuids has 'gpu-1', wanted UUIDs such as GPU-"),
        (["--exclude-indices=0,-1"], NAMED, "excludeIndices has '-1', wanted numbers from 0"),
        (["--driver-root=run/nvidia"], NAMED, "driverRoot has 'run/nvidia', wanted an absolute path"),
        (["--nvidia-ctk=nvidia-ctk"], NAMED, "nvidiaCtk has 'nvidia-ctk', wanted an absolute path"),
        (["--config=/nowhere.yaml"], NAMED, "/nowhere.yaml does not exist"),
    ],
)
def test_a_wrong_setting_is_named(arguments: list[str], environment: dict[str, str], message: str) -> None:
    """Source, value and what was wanted."""
    with pytest.raises(SettingsError, match=message):
        load_settings(arguments, environment)


def test_an_unknown_key_of_the_file_is_refused(tmp_path: Path) -> None:
    """A misspelt key would leave a default where something else was meant."""
    file = tmp_path / "config.yaml"
    file.write_text("sharesPerGPU: 2\n")
    with pytest.raises(SettingsError, match="unknown sharesPerGPU"):
        load_settings([f"--config={file}"], NAMED)


NODES = """
sharesPerGpu: 2
nodes:
  - {name: node-*, sharesPerGpu: 3, excludeIndices: [0, 1], driverRoot: /run/nvidia/driver}
  - {name: node-a, sharesPerGpu: 4}
  - {name: other, sharesPerGpu: 5}
"""


@pytest.mark.parametrize(("node", "shares", "excluded"), [("node-a", 4, "0,1"), ("node-b", 3, "0,1"), ("c", 2, "")])
def test_a_node_has_settings_of_its_own(tmp_path: Path, node: str, shares: int, excluded: str) -> None:
    """By name or pattern, the later entry before the earlier one, before what the file says of all."""
    file = tmp_path / "config.yaml"
    file.write_text(NODES)
    settings = load_settings([f"--config={file}", f"--node-name={node}"], {})
    assert (settings.shares_per_gpu, settings.exclude_indices) == (shares, excluded)
    assert load_settings([f"--config={file}", "--shares-per-gpu=9"], {"HAMI_DRA_NODE_NAME": node}).shares_per_gpu == 9


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("{name: a}", "nodes in .*config.yaml: found dict, wanted a list"),
        ("[a]", r"nodes\[0\] in .*: found str, wanted name and settings"),
        ("[{sharesPerGpu: 3}]", "name is None, wanted a node's name or a pattern"),
        (
            "[{name: a}, {name: b, cdiDir: /x}]",
            r"nodes\[1\] in .* \(b\): cdiDir cannot be set for a node; .*sharesPerGpu",
        ),
        ("[{name: node-a, sharesPerGpu: 0}]", r"sharesPerGpu of nodes\[0\] in .*: found 0, wanted a whole number"),
        ("[{name: node-b, sharesPerGpu: 0}]", r"sharesPerGpu of nodes\[0\] in .*: found 0, wanted a whole number"),
        (
            "[{name: node-a, onBypass: [taint]}]",
            r"onBypass of nodes\[0\] in .*: found \['taint'\], wanted one of event",
        ),
        (
            "[{name: x, driverRoot: run/nvidia}]",
            r"nodes\[0\] in .*: driverRoot has 'run/nvidia', wanted an absolute path",
        ),
        ("[{name: x, includeUuids: GPU-1}]", r"nodes\[0\] in .*: includeUuids has 'gpu-1', wanted UUIDs such as"),
    ],
)
def test_a_wrong_entry_for_a_node_is_named(tmp_path: Path, nodes: str, message: str) -> None:
    """Also where it is another node's."""
    file = tmp_path / "config.yaml"
    file.write_text(f"nodes: {nodes}\n")
    with pytest.raises(SettingsError, match=message):
        load_settings([f"--config={file}"], NAMED)
