"""The daemons stay lean: talking to the API server must not load what costs 60 MiB."""

import subprocess
import sys

PROGRAM = """
import sys
from hami_dra.kube import claims, events, lease, reflector, slices, transport
heavy = [name for name in sys.modules if name.startswith(("kubernetes.client.models.", "kubernetes.client.api."))]
assert not heavy, heavy[:20]
assert "celpy" not in sys.modules
"""


def test_no_typed_model_is_imported() -> None:
    """Importing the whole package loads neither models nor `*Api` classes nor CEL."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
