"""What the control plane spends per pod when our controller allocates, when kube-scheduler does, and without claims.

Each run has a new control plane of real components; nodes are only objects. The variants take turns within a round.
Figures go to build/bench/control-plane.json, the table to build/bench/control-plane.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from control_plane.report import markdown, one_line, to_json
from control_plane.trial import Figures, Size, run
from control_plane.variants import VARIANTS
from figures import machine

_FOLDER = Path("build/bench")
_DEFAULT = ("controller", "scheduler", "plain")


def main() -> int:
    """Measure and show."""
    arguments = _parser().parse_args()
    size, began = Size(arguments.nodes, arguments.pods, arguments.gpus, arguments.pause), machine()
    found: list[Figures] = []
    for round_ in range(arguments.rounds):
        for name in arguments.variant or _DEFAULT:
            figures = run(VARIANTS[name], size, arguments.name)
            print(f"round {round_ + 1}: {one_line(figures)}", flush=True)
            found.append(figures)
            _write(arguments.output, found, began)
    print(markdown(found, began))
    return 0


def _write(output: Path, found: list[Figures], began: str) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_suffix(".json").write_text(to_json(found, began))
    output.with_suffix(".md").write_text(markdown(found, began))


def _parser() -> argparse.ArgumentParser:
    about = "; ".join(f"{variant.name}: {variant.about}" for variant in VARIANTS.values())
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"Variants: {about}.")
    parser.add_argument("--nodes", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--gpus", type=int, default=8, help="of each node (default: %(default)s)")
    parser.add_argument("--pods", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds from one pod to the next (default: none)")
    parser.add_argument("--rounds", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--variant", action="append", choices=list(VARIANTS), help=f"default: {', '.join(_DEFAULT)}")
    parser.add_argument("--name", default="bench", help="of the cluster (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=_FOLDER / "control-plane", help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
