"""The daemon runs on every node: it loads only what it uses."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "celpy",
    "kubernetes.client.api.core_v1_api",
    "kubernetes.client.models.v1_pod",
    "kubernetes.aio",
    "hami_dra.controller",
    "typer",
)


def test_the_daemon_loads_neither_cel_nor_typed_models() -> None:
    """CEL and the generated classes would double its memory."""
    code = f"""
import sys
import hami_dra.kubelet_plugin.main
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
