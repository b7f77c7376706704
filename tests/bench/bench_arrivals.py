"""CPU that the controller takes for each pod of a crowd that comes, from the pod's creation until its binding is known.

The real program runs as a process, over TLS, against a small API server in another process, which plays the rest of
the control plane; so this is what we spend ourselves, whatever kube-scheduler does meanwhile. With `--beside FOLDER`
the controller of another work tree takes turns with this one's.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from arrivals import Arrivals
from bench_controller_size import controller_process, cpu_seconds
from crowd import Crowd
from crowded_api_server import CrowdedApi
from figures import machine, print_table, spread

_HERE = Path(__file__).resolve().parents[2]


def main() -> None:
    """Print the table."""
    arguments = _parser().parse_args()
    print(f"arrivals: {machine()}")
    crowd = Crowd(nodes=arguments.nodes, claims=0, pods=0)
    arrivals = Arrivals(arguments.pods, arguments.per_second)
    trees = [_HERE, *arguments.beside]
    found: dict[Path, list[float]] = {tree: [] for tree in trees}
    for _ in range(arguments.rounds):
        for tree in trees:
            found[tree].append(run(tree, crowd, arrivals))
    rows = [[str(tree), spread(taken).text(2)] for tree, taken in found.items()]
    print_table(f"{crowd.text()}; {arrivals.pods} pods come", ["controller of", "CPU ms per pod, median (range)"], rows)


def run(tree: Path, crowd: Crowd, arrivals: Arrivals) -> float:
    """Milliseconds of CPU for each pod, user and system."""
    with (
        tempfile.TemporaryDirectory() as folder,
        CrowdedApi.serve(Path(folder), crowd, tls=True) as api,
        controller_process(Path(folder), api.kubeconfig, tree) as process,
    ):
        api.wait_for("all")
        before = cpu_seconds(process)
        api.wait_for(arrivals)
        return (cpu_seconds(process) - before) / arrivals.pods * 1e3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=500, help="of 8 GPUs (default: %(default)s)")
    parser.add_argument("--pods", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--per-second", type=float, default=40.0, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--beside", type=Path, action="append", default=[], help="another work tree")
    return parser


if __name__ == "__main__":
    main()
