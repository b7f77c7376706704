"""Where settings come from and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from hami_dra.controller.errors import SettingsError
from hami_dra.controller.settings import Allocator, LogLevel, Spreading, identity, load


def test_later_sources_win(tmp_path: Path) -> None:
    """Defaults, file, environment, flags."""
    file = tmp_path / "config.yaml"
    file.write_text("allocator: scheduler\nunboundTimeoutSeconds: 10\nplacementNode: spread\nrequireCores: true\n")
    environment = {"HAMI_DRA_UNBOUND_TIMEOUT_SECONDS": "20", "HAMI_DRA_PLACEMENT_NODE": "binpack"}
    settings = load(["--config", str(file), "--unbound-timeout-seconds", "40"], environment)
    assert settings.allocator is Allocator.SCHEDULER
    assert settings.placement_node is Spreading.BINPACK
    assert (settings.unbound_timeout_seconds, settings.require_cores) == (40, True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("allocater: scheduler", ["allocater", "allocator"]),
        ("allocator: both", ["allocator", "both", "controller", "scheduler"]),
        ("unboundTimeoutSeconds: soon", ["unboundTimeoutSeconds", "soon", "int"]),
        ("unboundTimeoutSeconds: 0", ["unboundTimeoutSeconds", "0", "positive"]),
        ("keepPlaceAfterSeconds: -1", ["keepPlaceAfterSeconds", "-1", "0"]),
        ("concurrentWrites: 0", ["concurrentWrites", "0", "64"]),
        ("concurrentWrites: 65", ["concurrentWrites", "65", "64"]),
        ("requireCores: maybe", ["requireCores", "maybe"]),
        ("{allocator: scheduler, gateAndPin: true}", ["gateAndPin", "allocator", "scheduler", "controller"]),
        ("logLevel: loud", ["logLevel", "loud", "DEBUG"]),
        ("- a", ["list", "mapping"]),
        ("{", ["config.yaml"]),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, content: str, words: list[str]) -> None:
    """The message has the name, what was found and what was wanted."""
    file = tmp_path / "config.yaml"
    file.write_text(content)
    with pytest.raises(SettingsError) as caught:
        load(["--config", str(file)], {})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_settings_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    file = tmp_path / "config.yaml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"config.yaml: .*can't decode"):
        load(["--config", str(file)], {})


def test_a_log_level_may_be_written_in_any_case() -> None:
    """As operators write it."""
    assert load(["--log-level", "debug"], {}).log_level is LogLevel.DEBUG


@pytest.mark.parametrize(
    ("environment", "begins"),
    [
        pytest.param({"HAMI_DRA_POD_NAME": "c", "HAMI_DRA_POD_UID": "u"}, "c_u_", id="pod"),
        pytest.param({"HAMI_DRA_IDENTITY": "i"}, "i_", id="identity"),
        pytest.param({}, "", id="neither"),
    ],
)
def test_two_processes_never_have_one_name(environment: dict[str, str], begins: str) -> None:
    """A second process that was started by mistake with the settings of another does not lead beside it."""
    first, second = (identity(load([], environment)) for _ in range(2))
    assert first.startswith(begins)
    assert second.startswith(begins)
    assert first != second
