"""A Docker engine of our own, for real: it answers, it knows what it is told, and it leaves no trace."""

import os

import pytest

from cluster.settings import read_settings
from kindcluster.engine import Engine
from kindcluster.engine_files import EngineLayout
from kindcluster.engine_programs import engine_programs
from testbed.host_state import left_behind, look

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root"),
    pytest.mark.timeout(300),
]

NAME = "test-engine"


def test_an_engine_comes_and_goes_without_a_trace() -> None:
    """Started twice it is one; killed, it takes its mounts, cgroups, networks and files with it."""
    settings = read_settings()
    engine = Engine(EngineLayout.of(settings.state_root, NAME), engine_programs(settings))
    engine.remove()
    before = look()
    try:
        engine.up()
        pid = engine.layout.pid_file.read_text()
        engine.up()
        assert engine.answers()
        assert engine.layout.pid_file.read_text() == pid
    finally:
        engine.remove()
    assert not engine.answers()
    assert not engine.exists()
    assert left_behind(before, look(), NAME) == []
