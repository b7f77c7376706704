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
KIND_CONFIG = ROOT / "deploy" / "kind" / "kind.yaml"
NODES = ("node-a", "node-b")
"""What the examples call the nodes; on kind they have other names."""
PROFILES = ("h100x4", "a100x4")
"""The fake GPUs of each node, in the order of the nodes."""
