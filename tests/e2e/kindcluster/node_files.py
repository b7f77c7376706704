"""What is ours in the node image and what is changed of kind's own: texts, as pure functions."""

from __future__ import annotations

import json
from typing import Any

DEBIAN_PACKAGES = (
    "ca-certificates",
    "conntrack",
    "containernetworking-plugins",
    "ethtool",
    "iproute2",
    "iptables",
    "jq",
    "kmod",
    "mount",
    "nftables",
    "procps",
    "runc",
    "systemd",
)

KIND_FILES = (
    "etc/containerd/config.toml",
    "etc/crictl.yaml",
    "etc/default/kubelet",
    "etc/sysctl.d",
    "etc/systemd/system/containerd.service",
    "etc/systemd/system/kubelet.service",
    "etc/systemd/system/kubelet.service.d",
    "etc/systemd/system/kubelet.slice",
    "etc/systemd/system/undo-mount-hacks.service",
    "kind/bin",
    "usr/local/bin/entrypoint",
)
"""What the image takes from `images/base/files` of kind's module."""

NOT_IN_A_CONTAINER = (
    "lib/systemd/system/multi-user.target.wants/*",
    "lib/systemd/system/local-fs.target.wants/*",
    "lib/systemd/system/sockets.target.wants/*initctl*",
    "lib/systemd/system/sockets.target.wants/*udev*",
    "lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
    "etc/systemd/system/*.wants/*",
    "etc/sysctl.d/*",
    "usr/lib/sysctl.d/*",
    "etc/hostname",
    "etc/resolv.conf",
)
"""What Debian's systemd would start or set that is the machine's business, and files that docker makes."""

IMAGE_SETTINGS: dict[str, object] = {
    "Entrypoint": ["/kind/bin/node-entrypoint.sh", "/sbin/init"],
    # systemd ends on this signal, and takes SIGTERM for something else.
    "StopSignal": "SIGRTMIN+3",
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container=docker"],
}

_SANDBOX = 'sandbox_image = "'
_OOM_SCORE, _OOM_SCORE_WANTED = "restrict_oom_score_adj = false", "restrict_oom_score_adj = true"
_CONFIG_FOLDER = "/etc/kubernetes/kubelet.conf.d"


def containerd_config(kinds: str, pause: str) -> str:
    """kind's configuration of containerd with our sandbox image.

    Oom scores below containerd's own are not asked for, because machines whose root may not lower them refuse.
    """
    before, _, after = kinds.partition(_SANDBOX)
    text = f"{before}{_SANDBOX}{pause}{after[after.index(chr(34)) :]}"
    return text.replace(_OOM_SCORE, _OOM_SCORE_WANTED)


def kubelet_arguments(kinds: str) -> str:
    """kind's /etc/default/kubelet, and a folder of settings that win over kubeadm's."""
    return f"{kinds.rstrip()} --config-dir={_CONFIG_FOLDER}\n"


def runtime_spec(default: str) -> str:
    """What every container starts from: containerd's default with kind's hook and without limits of its own."""
    spec: dict[str, Any] = json.loads(default)
    hooks = spec.setdefault("hooks", {}).setdefault("createContainer", [])
    hooks.append({"path": "/kind/bin/mount-product-files.sh"})
    spec["process"].pop("rlimits", None)
    return json.dumps(spec)
