"""The command: reads, waits, reads again, and says what is wrong in both."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hami_dra.cli.doctor.diagnosis import find_problems, settle
from hami_dra.cli.doctor.problems import Problem
from hami_dra.cli.doctor.reading import read_snapshot
from hami_dra.cli.doctor.report import Extent, as_json, as_text, extent_of
from hami_dra.kube.transport import Client, connect

if TYPE_CHECKING:
    from argparse import _SubParsersAction

# The controller keeps an allocation that nobody uses for 5 s before it frees it.
SETTLE_SECONDS: Final = 10.0
NOTHING_FOUND: Final = 0
PROBLEMS_FOUND: Final = 1

_DESCRIPTION: Final = (
    "Reads ResourceSlices, DeviceClasses, ResourceClaims, Pods and Nodes, and says what does not fit together. "
    "When something is found, it reads once more after --settle seconds, and only what is wrong both times counts; "
    "a GPU beyond its capacity counts at once. It writes nothing. "
    "Exit status: 0 nothing found, 1 problems found, 2 the cluster could not be read."
)


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong, and in how much."""

    problems: tuple[Problem, ...]
    extent: Extent


def add_to(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("doctor", help="look for what does not fit together", description=_DESCRIPTION)
    parser.add_argument(
        "--kubeconfig", metavar="FILE", help="default: the pod's service account, else $KUBECONFIG or ~/.kube/config"
    )
    parser.add_argument(
        "--settle",
        type=_seconds,
        default=SETTLE_SECONDS,
        metavar="SECONDS",
        help="how long a problem must last to count (default %(default)g; 0: every state of a single read counts)",
    )
    parser.add_argument("--output", choices=("text", "json"), default="text", help="default %(default)s")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong; the exit status. Raises KubeError, CliError."""
    client = connect(arguments.kubeconfig)
    try:
        findings = examine(client, arguments.settle)
    finally:
        client.close()
    report = as_json if arguments.output == "json" else as_text
    sys.stdout.write(report(findings.problems, findings.extent))
    return PROBLEMS_FOUND if findings.problems else NOTHING_FOUND


def examine(client: Client, settle_seconds: float, wait: Callable[[float], None] = time.sleep) -> Findings:
    """What is wrong and stays so for ``settle_seconds``. Raises KubeError, UnreadableObject."""
    first = _look(client)
    if not first.problems or not settle_seconds:
        return first
    wait(settle_seconds)
    second = _look(client)
    return Findings(settle(first.problems, second.problems), second.extent)


def _look(client: Client) -> Findings:
    snapshot = read_snapshot(client)
    return Findings(find_problems(snapshot), extent_of(snapshot))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"found {text!r}, wanted a number of seconds, 0 or more")
    return seconds
