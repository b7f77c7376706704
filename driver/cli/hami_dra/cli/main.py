"""The program ``hami-dra``, which as ``kubectl-hami`` is also the plugin ``kubectl hami``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hami_dra.api.names import CLI_PROGRAM, KUBECTL_PROGRAM
from hami_dra.cli.doctor import command as doctor
from hami_dra.cli.errors import CliError
from hami_dra.kube.errors import KubeError

COULD_NOT_READ = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    program = _program(sys.argv[0])
    parsed = _parser(program).parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except (CliError, KubeError) as error:
        sys.stderr.write(f"{program}: {error}\n")
        return COULD_NOT_READ


def _program(path: str) -> str:
    """What the user typed."""
    return KUBECTL_PROGRAM.replace("-", " ") if Path(path).name == KUBECTL_PROGRAM else CLI_PROGRAM


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="What an operator asks about shares of GPUs.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    doctor.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
