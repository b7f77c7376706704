"""What the taint on a GPU that fails may say stands in docs/operations.md, with what to do."""

from __future__ import annotations

import ast

from named_tests import ROOT

from hami_dra.kubelet_plugin.bypass_reports import TROUBLE
from hami_dra.kubelet_plugin.health_plan import parse_cordon

PLUGIN = ROOT / "driver/kubelet-plugin/hami_dra/kubelet_plugin"
SECTION = (ROOT / "docs/operations.md").read_text().partition("\n## A GPU fails\n")[2].partition("\n## ")[0]
(CORDON,) = (trouble.value for trouble in parse_cordon("GPU-1").values())


def values() -> set[str]:
    """The values that the plugin's modules spell out."""
    calls = (node for path in PLUGIN.glob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    named = (
        node.args[0]
        for node in calls
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Trouble"
    )
    return {first.value for first in named if isinstance(first, ast.Constant)} | {TROUBLE}


def test_each_value_of_the_taint_is_explained() -> None:
    """But the operator's own, which is a taint of its own."""
    found = values()
    assert {"gone", "driver", CORDON} < found
    assert sorted(value for value in found - {CORDON} if f"| `{value}` |" not in SECTION) == []
