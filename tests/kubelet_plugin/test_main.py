"""The process: starts, says so, and ends when told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from fake_api_server import FakeApiServer
from plugin_objects import NODE, Node


def test_sigterm_ends_the_daemon_cleanly(server: FakeApiServer, node: Node, tmp_path: Path) -> None:
    """kubelet deregisters the driver when its socket goes; a dead socket would keep it dialling."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(server.kubeconfig()))
    settings = {
        "nodeName": NODE,
        "kubeconfig": str(kubeconfig),
        "driverRoot": str(tmp_path / "no-driver"),
        "library": str(node.library),
        "pluginsDir": str(node.paths.plugin_dir.parent),
        "registryDir": str(tmp_path / "reg"),
        "cdiDir": str(node.paths.cdi_dir),
        "staticCdiDir": str(node.paths.static_cdi_dir),
        "runDir": str(node.paths.run_dir),
        "httpAddress": "127.0.0.1:0",
    }
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "hami_dra.kubelet_plugin.main", f"--config={file}"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HAMI_DRA_")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        events = []
        for line in process.stderr:
            events.append(json.loads(line)["event"])
            if events[-1] == "serving":
                process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    assert events == ["leads this node", "no GPUs, idle until a driver answers", "serving", "stopping"]
    assert list((tmp_path / "reg").iterdir()) == []


def test_wrong_settings_end_the_process_with_their_reason() -> None:
    """One line that names the setting, no traceback."""
    command = [sys.executable, "-m", "hami_dra.kubelet_plugin.main", "--allocator=both"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert "wanted one of controller, scheduler" in json.loads(line)["error"]
