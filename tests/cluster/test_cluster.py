"""A real one-node cluster: comes up, runs a pod, survives faults, leaves nothing behind."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.api import Cluster
from cluster.errors import UsageError
from cluster.settings import Settings, read_settings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

NAME = "self-test"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Programs and images from the user's cache, state of our own."""
    return replace(read_settings(), state_root=tmp_path_factory.mktemp("clusters"))


@pytest.fixture(scope="module")
def cluster(settings: Settings) -> Iterator[Cluster]:
    made = Cluster(NAME, settings)
    try:
        made.up(["node-a"])
        yield made
    finally:
        made.down()


def kubectl(cluster: Cluster, *words: str) -> str:
    argv = [str(cluster.programs / "kubectl"), f"--kubeconfig={cluster.kubeconfig}", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_pod(cluster: Cluster, name: str) -> None:
    command = ["--command", "--", "sh", "-c", "echo started; exec sleep 1000"]
    kubectl(cluster, "run", name, "--image=localhost/busybox:1", "--image-pull-policy=Never", *command)
    wait_for_pod(cluster, name)


def wait_for_pod(cluster: Cluster, name: str) -> None:
    kubectl(cluster, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=90s")


def container_of(cluster: Cluster, pod: str) -> str:
    return kubectl(cluster, "get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].containerID}")


def test_pod_runs_and_can_be_looked_at(cluster: Cluster) -> None:
    """Scheduling, the sandbox, the network, logs and exec."""
    run_pod(cluster, "first")
    assert kubectl(cluster, "logs", "first") == "started\n"
    assert kubectl(cluster, "exec", "first", "--", "hostname") == "first\n"
    address = kubectl(cluster, "get", "pod", "first", "-o", "jsonpath={.status.podIP}")
    assert address.startswith("10.244.1.")


def test_coming_up_again_changes_nothing(cluster: Cluster) -> None:
    """The node and its pods stay what they were."""
    before = cluster.node("node-a").first_pid()
    cluster.up(["node-a"])
    assert cluster.node("node-a").first_pid() == before
    assert set(cluster.status().values()) == {"running", "running, Ready"}


def test_node_sees_its_own_folders(cluster: Cluster) -> None:
    """What lies in opt and cdi on the host is at /opt and /etc/cdi in the node; nothing else of it reaches the host."""
    layout = cluster.layout.node("node-a")
    (layout.opt / "there").write_text("opt")
    (layout.cdi / "there").write_text("cdi")
    seen = cluster.node_exec("node-a", ["cat", "/opt/there", "/etc/cdi/there"]).stdout
    cluster.node_exec("node-a", ["sh", "-c", "echo x >/etc/made-by-a-node; echo x >/run/made-by-a-node"])
    assert seen == "optcdi"
    assert not Path("/etc/made-by-a-node").exists()
    assert not Path("/run/made-by-a-node").exists()
    assert cluster.node("node-a").path("/run/made-by-a-node").read_text() == "x\n"


def test_killed_kubelet_comes_back_and_pods_run_on(cluster: Cluster) -> None:
    """The container is the same one as before."""
    before = container_of(cluster, "first")
    old = cluster.node_exec("node-a", ["pgrep", "-x", "kubelet"]).stdout
    cluster.kill_process_in_node("node-a", "kubelet")
    run_pod(cluster, "after-kubelet")
    assert cluster.node_exec("node-a", ["pgrep", "-x", "kubelet"]).stdout != old
    assert container_of(cluster, "first") == before


@pytest.mark.parametrize("component", ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_killed_component_comes_back(cluster: Cluster, component: str) -> None:
    """And the cluster works: a new pod runs."""
    cluster.kill_component(component)
    run_pod(cluster, f"after-{component}")
    kubectl(cluster, "delete", "pod", f"after-{component}", "--force", "--grace-period=0")


def test_reboot_keeps_the_disk_and_clears_run(cluster: Cluster) -> None:
    """Pods are started again, in new containers."""
    before = container_of(cluster, "first")
    cluster.reboot("node-a")
    wait_for_pod(cluster, "first")
    kubectl(cluster, "wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/first")
    assert container_of(cluster, "first") != before
    assert cluster.node_exec("node-a", ["cat", "/opt/there"]).stdout == "opt"
    assert not cluster.node("node-a").path("/run/made-by-a-node").exists()


def test_second_node_comes_and_goes(cluster: Cluster) -> None:
    """Its Node object stays when it is lost; its disk does not."""
    cluster.add_node("node-b")
    assert cluster.nodes == ["node-a", "node-b"]
    cluster.destroy_node("node-b")
    assert cluster.nodes == ["node-a"]
    assert not cluster.layout.node("node-b").root.exists()
    assert "node/node-b" in kubectl(cluster, "get", "nodes", "-o", "name")


def test_unknown_names_are_refused(cluster: Cluster) -> None:
    """The message says which there are."""
    with pytest.raises(UsageError, match="it has node-a"):
        cluster.node("node-z")
    with pytest.raises(UsageError, match="wanted one of etcd"):
        cluster.kill_component("kubelet")


def test_down_leaves_nothing(cluster: Cluster, settings: Settings) -> None:
    """No process, mount, cgroup or folder; must run last."""
    root = str(cluster.layout.root)
    cluster.down()
    assert not cluster.layout.root.exists()
    assert root not in Path("/proc/self/mountinfo").read_text()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{cluster.layout.cgroup}"))
    assert [pid for pid in Path("/proc").glob("[0-9]*") if root in command_line(pid)] == []
    assert not cluster.exists()


def command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
