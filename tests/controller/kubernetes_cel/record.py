"""Asks Kubernetes' own evaluator again: ``python record.py [FILE]`` adds the expressions of a file, one a line.

It writes ``functions.jsonl``, every overload that device selectors have, and ``verdicts.jsonl``, what expressions
give. Needs Go and the modules of the test cluster (``make programs`` fetches them); takes minutes for the build.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
MODULE = HERE.parents[1] / "e2e" / "cluster" / "programs" / "kube"
VERDICTS, FUNCTIONS = HERE / "verdicts.jsonl", HERE / "functions.jsonl"


def main() -> None:
    """Write both files anew."""
    expressions = [json.loads(line)[0] for line in VERDICTS.read_text(encoding="utf-8").splitlines()]
    for name in sys.argv[1:]:
        expressions += filter(None, Path(name).read_text(encoding="utf-8").splitlines())
    asked = "\n".join(json.dumps(expression) for expression in dict.fromkeys(expressions))
    with tempfile.TemporaryDirectory() as folder:
        program = _build(Path(folder))
        FUNCTIONS.write_text(_output([program, "functions"], ""), encoding="utf-8")
        VERDICTS.write_text(_output([program], asked), encoding="utf-8")


def _build(folder: Path) -> Path:
    for source in (HERE / "main.go", MODULE / "go.mod", MODULE / "go.sum"):
        shutil.copy(source, folder)
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", "program", "."], cwd=folder, env=environment, check=True)
    return folder / "program"


def _output(argv: list[str | Path], given: str) -> str:
    return subprocess.run(argv, input=given, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
