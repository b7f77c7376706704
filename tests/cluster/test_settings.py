"""What the environment says."""

from pathlib import Path

import pytest

from cluster.errors import UsageError
from cluster.settings import certificate_bundle, read_settings


def test_defaults_are_the_newest_kubernetes_and_the_users_cache() -> None:
    """An empty environment gives 1.37, /var/lib and ~/.cache."""
    settings = read_settings({})
    assert settings.kube_version == "v1.37.2"
    assert settings.state_root == Path("/var/lib/hami-dra-clusters")
    assert settings.cache_root == Path.home() / ".cache/hami-dra"


def test_environment_moves_state_and_cache() -> None:
    """Each variable decides one setting."""
    settings = read_settings({"KUBE_VERSION": "1.36", "CLUSTER_STATE": "/s", "XDG_CACHE_HOME": "/c"})
    assert settings.kube_version.startswith("v1.36.")
    assert (settings.state_root, settings.cache_root) == (Path("/s"), Path("/c/hami-dra"))


def test_unknown_kubernetes_version_is_refused_with_the_known_ones() -> None:
    """The message names what was found and what was wanted."""
    with pytest.raises(UsageError, match=r"KUBE_VERSION=1\.12: wanted one of 1\.37, 1\.36"):
        read_settings({"KUBE_VERSION": "1.12"})


def test_containerd_is_chosen_by_its_version() -> None:
    """2 by default; what we cannot build is refused with what we can."""
    assert [read_settings(variables).containerd for variables in ({}, {"CONTAINERD": "1.7"})] == ["2", "1.7"]
    with pytest.raises(UsageError, match=r"CONTAINERD=1\.6: wanted one of 2, 1\.7"):
        read_settings({"CONTAINERD": "1.6"})


def test_pips_own_certificate_setting_comes_first() -> None:
    """An unset or empty variable says nothing."""
    assert certificate_bundle({"PIP_CERT": "", "SSL_CERT_FILE": "/ssl", "REQUESTS_CA_BUNDLE": "/req"}) == "/req"
    assert certificate_bundle({}) is None
