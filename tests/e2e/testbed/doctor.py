"""The operator's own check of the whole cluster, as a program of this environment."""

import sysconfig
from pathlib import Path

from hami_dra.api.names import CLI_PROGRAM
from testbed.kubectl import run

WITHIN_SECONDS = 60


def check(kubeconfig: Path) -> str:
    """What ``hami-dra doctor`` prints about the cluster; quick, unless something is found that may pass.

    Raises: CommandError with what it printed when it finds something or cannot read the cluster.
    """
    program = Path(sysconfig.get_path("scripts")) / CLI_PROGRAM
    return run([program, "doctor", "--kubeconfig", kubeconfig], timeout=WITHIN_SECONDS)
