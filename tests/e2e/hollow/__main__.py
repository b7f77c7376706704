"""python -m hollow: a control plane with our controller over nodes that are only objects."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cluster.errors import ClusterError
from cluster.progress import say
from hollow.bed import HollowCluster
from hollow.errors import HollowError
from testbed.errors import TestbedError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0, or 1 when it failed."""
    parser = argparse.ArgumentParser(prog="python -m hollow", description=__doc__)
    parser.add_argument("command", choices=("up", "down"))
    parser.add_argument("--name", default="hollow", help="the cluster (default: %(default)s)")
    parser.add_argument("--nodes", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--gpus", type=int, default=8, help="of each node (default: %(default)s)")
    parser.add_argument("--allocator", choices=("controller", "scheduler"), default="controller")
    parser.add_argument("--replicas", type=int, default=1, help="of our controller (default: %(default)s)")
    arguments = parser.parse_args(argv)
    bed = HollowCluster(arguments.name, arguments.allocator)
    try:
        if arguments.command == "down":
            bed.down()
        else:
            _up(bed, arguments)
    except (ClusterError, HollowError, TestbedError) as error:
        say(f"hollow: {error}")
        return 1
    return 0


def _up(bed: HollowCluster, arguments: argparse.Namespace) -> None:
    bed.up()
    bed.fleet(arguments.gpus).add(arguments.nodes)
    bed.start_kubelet()
    for number in range(arguments.replicas):
        bed.controllers.start(number)
    for number in range(arguments.replicas):
        bed.controllers.wait_ready(number)
    print(f"export KUBECONFIG={bed.cluster.kubeconfig}")
    print(f"export PATH={bed.cluster.programs}:$PATH")


if __name__ == "__main__":
    sys.exit(main())
