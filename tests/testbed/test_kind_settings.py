"""The texts between kind and us."""

import pytest
import yaml

from testbed.errors import NoClusterError
from testbed.kind_config import api_port, for_tests
from testbed.names import KIND_CONFIG


def test_tests_run_on_the_users_configuration() -> None:
    """With quick retries and nothing else; a patch that is there already stays."""
    users = yaml.safe_load(KIND_CONFIG.read_text())
    ours = yaml.safe_load(for_tests(KIND_CONFIG.read_text()))
    (patch,) = ours.pop("kubeadmConfigPatches")
    assert ours == users
    assert yaml.safe_load(patch)["kind"] == "KubeletConfiguration"
    assert len(yaml.safe_load(for_tests(for_tests(KIND_CONFIG.read_text())))["kubeadmConfigPatches"]) == 2


def test_the_port_is_read_from_kinds_kubeconfig() -> None:
    """It is on the loopback, or somebody else's kubeconfig."""
    assert api_port("clusters:\n- cluster:\n    server: https://127.0.0.1:35123\n") == 35123
    with pytest.raises(NoClusterError):
        api_port("    server: https://10.0.0.1:6443\n")
