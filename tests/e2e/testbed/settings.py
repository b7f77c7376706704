"""What the environment says about the test bed."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from testbed.errors import SettingError

WANTED = ("auto", "kind", "local")

NODE_IMAGES = {
    "1.37": "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5",
}
"""kind's node image by Kubernetes version: what the pinned kind itself takes by default."""


@dataclass(frozen=True)
class BedSettings:
    """Which cluster is wanted."""

    cluster: str
    """One of WANTED (CLUSTER, default auto)."""
    node_image: str
    """What kind's nodes run (KIND_NODE_IMAGE, default by KUBE_VERSION); empty where none is known."""


def read_bed_settings(environment: Mapping[str, str] = os.environ) -> BedSettings:
    """Settings from environment variables; raises SettingError for a cluster that does not exist."""
    cluster = environment.get("CLUSTER") or "auto"
    if cluster not in WANTED:
        raise SettingError(f"CLUSTER={cluster}: wanted one of {', '.join(WANTED)}")
    default = NODE_IMAGES.get(environment.get("KUBE_VERSION") or "1.37", "")
    return BedSettings(cluster, environment.get("KIND_NODE_IMAGE") or default)
