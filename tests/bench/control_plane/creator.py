"""python -m control_plane.creator: creates the pods, as fast as the API server takes them or one by one, and says when.

The report is JSON: `created`, the Unix time before each pod's request by the pod's name, and `cpu_seconds` of all of
them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

from control_plane.mix import templates_of
from hami_dra.kube.paths import PODS, namespaced
from hami_dra.kube.transport import connect
from hollow.workload import pod
from hollow.writing import all_done


def main() -> int:
    """Create them all; exit status 1 with the first reason when some were refused."""
    parser = argparse.ArgumentParser(prog="python -m control_plane.creator", description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--pods", type=int, required=True)
    parser.add_argument("--without-claims", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds from one to the next, else several at once")
    arguments = parser.parse_args()
    client = connect(arguments.kubeconfig)
    path = namespaced(PODS, arguments.namespace)
    templates = [""] * arguments.pods if arguments.without_claims else templates_of(arguments.pods)
    bodies = [pod(f"pod-{number:05d}", template=template) for number, template in enumerate(templates)]
    created: dict[str, float] = {}

    def create(number: int) -> None:
        body = bodies[number]
        created[body["metadata"]["name"]] = time.time()
        client.create(path, body)

    before = time.process_time()
    if arguments.pause:
        for number in range(arguments.pods):
            create(number)
            time.sleep(arguments.pause)
    else:
        all_done([(f"pod {number}", partial(create, number)) for number in range(arguments.pods)])
    cpu_seconds = time.process_time() - before
    arguments.report.write_text(json.dumps({"created": created, "cpu_seconds": cpu_seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
