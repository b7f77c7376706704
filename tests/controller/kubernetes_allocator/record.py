"""Asks kube-scheduler's own allocator again: ``python record.py [COUNT]`` writes its answers to so many problems.

It writes ``answers.jsonl``: the problem's number, and for each node the allocations, one for each claim, or why there
are none. Needs Go and the modules of the test cluster (``make programs`` fetches them); takes minutes for the build.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from allocator_problems import problem  # noqa: E402
from controller_objects import LOCK  # noqa: E402

MODULE = HERE.parents[1] / "e2e" / "cluster" / "programs" / "kube"
ANSWERS = HERE / "answers.jsonl"
COUNT = 600
TOLD = ("request", "pool", "device", "consumedCapacity", "tolerations")


def main(count: int = COUNT) -> None:
    """Write the file anew."""
    asked = "\n".join(json.dumps(_without_lock(problem(number))) for number in range(count))
    with tempfile.TemporaryDirectory() as folder:
        program = _build(Path(folder))
        given = subprocess.run([program], input=asked, capture_output=True, text=True, check=True).stdout
    answers = [{node: _short(one) for node, one in json.loads(line).items()} for line in given.splitlines()]
    lines = [json.dumps([number, answer], separators=(",", ":")) for number, answer in enumerate(answers)]
    ANSWERS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _without_lock(wanted: dict[str, Any]) -> dict[str, Any]:
    for device in (device for one in wanted["slices"] for device in one["spec"]["devices"]):
        device["taints"].remove(LOCK)
    return wanted


def _build(folder: Path) -> Path:
    for source in (HERE / "main.go", MODULE / "go.mod", MODULE / "go.sum"):
        shutil.copy(source, folder)
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", "program", "."], cwd=folder, env=environment, check=True)
    return folder / "program"


def _short(answer: dict[str, Any]) -> Any:
    if answer["status"] != "ok":
        return answer["status"]
    return [
        {
            "results": [{name: one[name] for name in TOLD if name in one} for one in claim["devices"]["results"]],
            "config": claim["devices"].get("config", []),
            "nodeSelector": claim["nodeSelector"],
        }
        for claim in answer["result"]
    ]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
