"""An OCI runtime for machines whose root has no CAP_SYS_RESOURCE: runc, asked only for what it can do.

A container is else refused that wants the capability, a resource limit above ours or an oom score below ours. Where
root has the capability runc gets everything as it is.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

_RUNC = "/usr/sbin/runc"
_NUMBER = 24
"""Of CAP_SYS_RESOURCE, in capabilities(7)."""


def capable(status: str) -> bool:
    """Whether a /proc/PID/status says that its process has CAP_SYS_RESOURCE."""
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(mask, 16) >> _NUMBER & 1)


def lowered(process: dict[str, Any], own_score: int) -> dict[str, Any]:
    """The `process` of an OCI configuration without what takes CAP_SYS_RESOURCE."""
    kept = {key: value for key, value in process.items() if key != "rlimits"}
    if kept.get("oomScoreAdj", own_score) < own_score:
        del kept["oomScoreAdj"]
    sets = kept.get("capabilities") or {}
    return {**kept, "capabilities": {key: _without(names) for key, names in sets.items()}}


def _without(names: list[str]) -> list[str]:
    return [name for name in names if name != "CAP_SYS_RESOURCE"]


def file_to_lower(words: list[str]) -> Path | None:
    """The file of these words to runc in which a process is described: a bundle's configuration, or the process."""
    if "create" in words or "run" in words:
        return Path(_option(words, "--bundle", "-b") or ".") / "config.json"
    if "exec" in words and (process := _option(words, "--process", "-p")):
        return Path(process)
    return None


def _option(words: list[str], *names: str) -> str:
    """The value of an option, written with a space or with an equals sign; "" where it is absent."""
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else words[index + 1]
    return ""


def rewrite(path: Path, own_score: int) -> None:
    """Lower the process in a file: within a configuration, or alone."""
    found = json.loads(path.read_text())
    alone = "process" not in found
    changed = lowered(found, own_score) if alone else {**found, "process": lowered(found["process"], own_score)}
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(changed))
    new.rename(path)


def main(words: list[str]) -> None:
    path = file_to_lower(words)
    if path is not None and not capable(Path("/proc/self/status").read_text()):
        rewrite(path, int(Path("/proc/self/oom_score_adj").read_text()))
    os.execv(_RUNC, [_RUNC, *words])


if __name__ == "__main__":
    main(sys.argv[1:])
