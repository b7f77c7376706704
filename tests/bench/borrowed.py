"""Makes the objects and fakes of the unit tests importable; import it before them."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / tests) for tests in ("controller", "kube", "kubelet_plugin")]
