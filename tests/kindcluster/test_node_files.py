"""What the node image changes of kind's own files."""

import json

from kindcluster.node_files import containerd_config, kubelet_arguments, runtime_spec

KINDS = """version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.example/pause:3.9"
  tolerate_missing_hugepages_controller = true
  restrict_oom_score_adj = false
"""


def test_containerd_takes_the_sandbox_image_that_is_there() -> None:
    """And sets no oom score that it may not set; all else is kind's."""
    config = containerd_config(KINDS, "registry.example/pause:3.10")
    assert config == KINDS.replace("pause:3.9", "pause:3.10").replace("adj = false", "adj = true")


def test_kubelet_keeps_kinds_arguments() -> None:
    """With or without an end of line."""
    for end in ("", "\n"):
        assert kubelet_arguments(f"KUBELET_EXTRA_ARGS=--a=b{end}") == (
            "KUBELET_EXTRA_ARGS=--a=b --config-dir=/etc/kubernetes/kubelet.conf.d\n"
        )


def test_containers_start_with_kinds_hook_and_no_limits_of_their_own() -> None:
    """As kind makes it of containerd's default."""
    default = json.dumps({"process": {"args": ["sh"], "rlimits": [{}]}, "linux": {}})
    spec = json.loads(runtime_spec(default))
    assert spec["process"] == {"args": ["sh"]}
    assert spec["hooks"] == {"createContainer": [{"path": "/kind/bin/mount-product-files.sh"}]}
