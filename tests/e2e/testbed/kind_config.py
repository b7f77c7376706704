"""The texts between kind and us: the configuration that it gets, and the kubeconfig that it writes."""

import re
from typing import Any

import yaml

from testbed.errors import NoClusterError

_QUICK_RETRIES = """
kind: KubeletConfiguration
crashLoopBackOff:
  maxContainerRestartPeriod: 2s
syncFrequency: 5s
"""
_SERVER = re.compile(r"^ *server: https?://127\.0\.0\.1:(\d+)$", re.MULTILINE)


def for_tests(users: str) -> str:
    """The users' configuration with the quick retries of the local cluster's kubelets.

    Tests kill daemons: kubelet's own back-off is minutes, and a failed prepare waits a minute and more for the next.
    """
    config: dict[str, Any] = yaml.safe_load(users)
    config.setdefault("kubeadmConfigPatches", []).append(_QUICK_RETRIES.lstrip())
    return yaml.safe_dump(config, sort_keys=False)


def api_port(kubeconfig: str) -> int:
    """The port of the API server on the engine's loopback; raises NoClusterError where the text names none."""
    found = _SERVER.search(kubeconfig)
    if found is None:
        raise NoClusterError("kind's kubeconfig names no server at 127.0.0.1")
    return int(found[1])
