"""The configuration files of a node: pure functions of its name and index."""

from __future__ import annotations

import json
from typing import Any

from cluster.layout import pod_range

CONFIG_FOLDER = "/run/cluster/config"
"""Where a node sees its configuration."""

# Pods of tests are small and short; nothing may be evicted because the host's disk happens to be full.
_NEVER_EVICT = {
    "memory.available": "0%",
    "nodefs.available": "0%",
    "nodefs.inodesFree": "0%",
    "imagefs.available": "0%",
}


def kubelet_config(index: int) -> dict[str, Any]:
    """The KubeletConfiguration of node `index`."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "podCIDR": pod_range(index),
        "clusterDomain": "cluster.local",
        "clusterDNS": ["10.96.0.10"],
        "resolvConf": "",
        "maxPods": 60,
        # Tests kill daemons again and again; the default would make them wait for minutes.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "2s"},
        **_authentication(),
        **_cgroups(),
        **_for_a_small_host(),
    }


def cni_config(index: int) -> dict[str, Any]:
    """The network of the pods of node `index`: a bridge; addresses are forgotten at a reboot, like the pods."""
    ranges = [[{"subnet": pod_range(index)}]]
    addresses = {"type": "host-local", "dataDir": "/run/cni", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}


def files_of_node(index: int) -> dict[str, str]:
    """Name and text of the files that do not hold secrets."""
    return {
        "kubelet.json": json.dumps(kubelet_config(index), indent=1),
        "10-pods.conflist": json.dumps(cni_config(index), indent=1),
    }


def _authentication() -> dict[str, Any]:
    return {
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{CONFIG_FOLDER}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "serverTLSBootstrap": False,
        "rotateCertificates": False,
    }


def _cgroups() -> dict[str, Any]:
    return {
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": "/",
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": ["pods"],
        "kubeletCgroups": "/system",
    }


def _for_a_small_host() -> dict[str, Any]:
    """Quick reactions, no evictions, and nothing that needs CAP_SYS_RESOURCE or a setting of the host."""
    return {
        "failSwapOn": False,
        "protectKernelDefaults": False,
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "maxOpenFiles": 20000,
        "evictionHard": _NEVER_EVICT,
        "imageGCHighThresholdPercent": 100,
        "imageMinimumGCAge": "24h",
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "10s",
        "syncFrequency": "5s",
        "volumeStatsAggPeriod": "0s",
        "shutdownGracePeriod": "0s",
    }
