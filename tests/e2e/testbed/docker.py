"""The Docker engine of this machine, if there is one."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from testbed.choice import Observed
from testbed.kubectl import run

ANSWER_SECONDS = 20
PULL_SECONDS = 180


def observe(node_image: str) -> Observed:
    """Look for an engine and the node image; pulls the image where it is missing."""
    if not shutil.which("docker"):
        return Observed(engine="there is no docker program on PATH")
    # With --format, old clients exit 0 without an engine: the server's version is then empty.
    version, said = _ask(["docker", "info", "--format", "{{.ServerVersion}}"], ANSWER_SECONDS)
    if not version:
        return Observed(engine=f"no Docker engine answers: {said}")
    if not node_image:
        return Observed("", "no node image of kind is known for this KUBE_VERSION: name one with KIND_NODE_IMAGE")
    if _ask(["docker", "image", "inspect", "--format", "{{.Id}}", node_image], ANSWER_SECONDS)[0]:
        return Observed("")
    pulled, said = _ask(["docker", "pull", "--quiet", node_image], PULL_SECONDS)
    return Observed("", "" if pulled else f"{node_image.partition('@')[0]} is not here and cannot be pulled: {said}")


def build(dockerfile: Path, context: Path, tag: str, archive: Path) -> None:
    """Build an image with the engine and write it to an archive."""
    run(["docker", "build", "--quiet", "--file", dockerfile, "--tag", tag, context], timeout=1800)
    save(tag, archive)


def save(tag: str, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    run(["docker", "save", "--output", archive, tag], timeout=600)


def _ask(argv: Sequence[str], seconds: float) -> tuple[str, str]:
    """What a command printed, "" when it failed, and the last line of what it complained about."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return "", f"no answer within {seconds:.0f} s"
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return ("" if done.returncode else done.stdout.strip()), lines[-1]
