"""What the environment says: the only reader of `os.environ` in this package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import UsageError

CONTAINERDS = ("2", "1.7")
KUBE_VERSIONS = {"1.37": "v1.37.2", "1.36": "v1.36.3"}


@dataclass(frozen=True)
class Settings:
    """Where things lie and which Kubernetes runs."""

    kube_minor: str
    """One of KUBE_VERSIONS' keys (KUBE_VERSION, default 1.37)."""
    state_root: Path
    """Holds one folder per cluster (CLUSTER_STATE, default /var/lib/hami-dra-clusters)."""
    cache_root: Path
    """What is built once and used by every cluster (XDG_CACHE_HOME/hami-dra)."""
    containerd: str = CONTAINERDS[0]
    """One of CONTAINERDS (CONTAINERD, default 2)."""

    @property
    def kube_version(self) -> str:
        return KUBE_VERSIONS[self.kube_minor]


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from environment variables; raises UsageError for a version that we cannot build."""
    minor = environment.get("KUBE_VERSION") or "1.37"
    if minor not in KUBE_VERSIONS:
        raise UsageError(f"KUBE_VERSION={minor}: wanted one of {', '.join(KUBE_VERSIONS)}")
    containerd = environment.get("CONTAINERD") or CONTAINERDS[0]
    if containerd not in CONTAINERDS:
        raise UsageError(f"CONTAINERD={containerd}: wanted one of {', '.join(CONTAINERDS)}")
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    state = Path(environment.get("CLUSTER_STATE") or "/var/lib/hami-dra-clusters")
    return Settings(minor, state, cache / "hami-dra", containerd)


def certificate_bundle(environment: Mapping[str, str] = os.environ) -> str | None:
    """The file of CAs that Python programs are told to trust here, if they are told."""
    names = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    return next((environment[name] for name in names if environment.get(name)), None)


def inherited_environment(**changes: str) -> dict[str, str]:
    """Our own environment with some variables changed, for a process we start."""
    return {**os.environ, **changes}
