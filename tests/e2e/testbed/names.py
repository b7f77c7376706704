"""What the test bed calls things, and where they lie in the checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build"
CHART = ROOT / "deploy" / "helm" / "hami-dra"
RELEASE = "hami-dra"
NAMESPACE = "hami-dra"
DRIVER = "gpu.hami.io"
DRIVER_REPOSITORY = "localhost/hami-dra/driver"
DRIVER_ROOT = "/opt/fake-gpu"
PROFILES = {"node-a": "h100x4", "node-b": "a100x4"}
"""The fake GPUs of each node; a node that is added later gets the first."""
