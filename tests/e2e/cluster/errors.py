"""What can go wrong with a local cluster.

ClusterError
├── UsageError          what was asked for cannot be done as asked (exit 2)
├── HostError           this machine lacks something that a cluster needs
├── BuildError          a program or an image could not be built; names the log
├── ComponentError      a component died or did not become ready; names its log
└── CommandError        a command failed; carries what it printed
"""

from __future__ import annotations

from pathlib import Path

_TAIL_LINES = 12


class ClusterError(Exception):
    """Base of everything this package raises on purpose."""


class UsageError(ClusterError):
    """What was asked for cannot be done as asked."""


class HostError(ClusterError):
    """This machine lacks something that a cluster needs."""


class BuildError(ClusterError):
    """A program or an image could not be built."""


class ComponentError(ClusterError):
    """A component died or did not become ready."""


class CommandError(ClusterError):
    """A command ended with another exit status than 0."""


def tail_of(log: Path) -> str:
    """The last lines of a log, indented, below the log's name; for error messages."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    except FileNotFoundError:
        return f"{log}: not there"
    return "\n".join([f"the end of {log}:", *(f"  {line[:300]}" for line in lines)])
