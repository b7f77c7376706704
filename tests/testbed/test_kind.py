"""kind's commands, by stand-ins for the programs kind, docker and kubectl: a real engine is not asked here."""

import subprocess
import tarfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from testbed.engines import MachineEngine
from testbed.errors import CommandError, NoClusterError
from testbed.kind import UNPACK, KindBackend, pack, workers
from testbed.names import NODES
from testbed.story import EXAMPLES, with_nodes

StandIn = Callable[[str, str], Path]

# `ps` lists the nodes that the file `nodes` names; `cp` brings kubectl out of a node.
DOCKER = """
case "$1" in
  ps) cat nodes 2>/dev/null || true ;;
  cp) cp kubectl "$4" ;;
  exec) case "$*" in *pkill*nothing*) exit 1 ;; *'echo there'*) echo there ;; esac ;;
esac
"""
KIND = """
[ "$1 $2" = "create cluster" ] && printf 'c-control-plane\\nc-worker2\\nc-worker\\n' >nodes && cp kubeconfig made/
[ "$1 $2" = "delete cluster" ] && rm nodes
exit 0
"""


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stand_in: StandIn, api_server: str) -> KindBackend:
    (tmp_path / "kubectl").write_text("#!/bin/sh\n")
    (tmp_path / "kubectl").chmod(0o755)
    (tmp_path / "kubeconfig").write_text(kubeconfig(api_server))
    kind = stand_in("kind", KIND)
    stand_in("docker", DOCKER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{kind.parent}:/usr/bin:/bin")
    engine = MachineEngine("image:1")
    return KindBackend("c", engine, tmp_path / "made", kind, Path("/usr/bin/true"), (tmp_path / "busybox.tar",))


def kubeconfig(server: str) -> str:
    return f"""apiVersion: v1
kind: Config
current-context: kind
clusters:
- cluster:
    server: {server}
  name: kind
contexts:
- context: {{cluster: kind, user: kind}}
  name: kind
users:
- name: kind
  user: {{}}
"""


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


def test_a_cluster_is_made_once_and_started_again(backend: KindBackend, tmp_path: Path) -> None:
    """The second time its nodes are started, whatever stopped them; images go to the workers only."""
    backend.up([tmp_path / "driver.tar"])
    backend.up([])
    said = calls(tmp_path)
    (create,) = [line for line in said if "create cluster" in line]
    assert "--image image:1" in create
    assert "--name c" in create
    assert "docker start c-control-plane c-worker2 c-worker" in said
    loads = [line for line in said if "load image-archive" in line]
    assert [line.split()[3].rpartition("/")[2] for line in loads] == ["busybox.tar", "driver.tar", "busybox.tar"]
    assert all("--nodes c-worker,c-worker2" in line for line in loads)
    assert (backend.programs / "kubectl").exists()


def test_down_leaves_no_trace(backend: KindBackend, tmp_path: Path) -> None:
    """Twice is harmless."""
    backend.up([])
    backend.down()
    backend.down()
    assert [line.partition(" --name")[0] for line in calls(tmp_path) if "delete" in line] == ["kind delete cluster"]
    assert not backend.folder.exists()


@dataclass
class OwnEngine:
    """An engine that notes what is asked of it."""

    called: list[str]
    node_image: str = "image:2"
    environment: Mapping[str, str] = field(default_factory=lambda: {"DOCKER_HOST": "unix:///own"})
    ends_with_cluster: bool = True

    def start(self) -> None:
        self.called.append("start")

    def answers(self) -> bool:
        return "remove" not in self.called

    def expose(self, port: int) -> None:
        self.called.append(f"expose {port}")

    def remove(self) -> None:
        self.called.append("remove")


def test_an_engine_of_our_own_lives_as_long_as_the_cluster(
    backend: KindBackend, tmp_path: Path, stand_in: StandIn, api_server: str
) -> None:
    """It is started first, the API server's port is served on the host, and the cluster goes with it."""
    stand_in("docker", f'[ "$DOCKER_HOST" = unix:///own ] || exit 3\n{DOCKER}')
    called: list[str] = []
    own = replace(backend, engine=OwnEngine(called))
    own.up([])
    own.down()
    own.down()
    assert called == ["start", f"expose {api_server.rpartition(':')[2]}", "remove", "remove"]
    assert not [line for line in calls(tmp_path) if "delete cluster" in line]
    assert not own.folder.exists()


def test_down_keeps_the_logs_that_kind_exports(backend: KindBackend, tmp_path: Path) -> None:
    """They are taken before the cluster goes."""
    backend.up([])
    backend.down(keep_logs=True)
    ends = [line for line in calls(tmp_path) if "export logs" in line or "delete" in line]
    assert [line.split()[1] for line in ends] == ["export", "delete"]


@pytest.mark.parametrize(
    ("complaint", "told"),
    [("docker exec c-worker crictl images: exit status 127", False), ("no space left on device", True)],
    ids=["no crictl", "no room"],
)
def test_a_cluster_goes_even_where_its_logs_could_not_be_kept(
    backend: KindBackend, stand_in: StandIn, complaint: str, told: bool
) -> None:
    """What only our node image lacks is no failure; anything else is told when the engine is gone."""
    called: list[str] = []
    own = replace(backend, engine=OwnEngine(called))
    own.up([])
    stand_in("kind", f"echo '{complaint}' >&2; exit 1")
    with pytest.raises(CommandError) if told else nullcontext():
        own.down(keep_logs=True)
    assert called[-1] == "remove"


def test_a_reboot_waits_for_a_new_heartbeat(backend: KindBackend, tmp_path: Path) -> None:
    """Killed at once, started, waited for."""
    backend.up([])
    backend.reboot("c-worker")
    said = calls(tmp_path)
    assert said.index("docker stop -t 0 c-worker") < said.index("docker start c-worker")


def test_a_process_that_is_not_there_is_not_killed(backend: KindBackend, tmp_path: Path) -> None:
    """True where it was."""
    assert backend.kill_process_in_node("c-worker", "kubelet")
    assert not backend.kill_process_in_node("c-worker", "nothing", full=True)
    assert "docker exec c-worker pkill -KILL -x -- kubelet" in calls(tmp_path)
    assert backend.node_exec("c-worker", ["echo", "there"]) == "there\n"


def test_every_gpu_gets_its_device_node(backend: KindBackend, tmp_path: Path) -> None:
    """The driver root goes in as a tar, then root on the node makes the devices."""
    backend.put_gpus("c-worker", "h100x4")
    (made,) = [line for line in calls(tmp_path) if "/opt/fake-gpu/dev/nvidiactl" in line]
    assert made.split()[-5:] == [f"/opt/fake-gpu/dev/nvidia{minor}" for minor in (0, 1, 2, 3, "ctl")]


def test_unpacking_again_keeps_what_programs_have_mapped(tmp_path: Path) -> None:
    """The state of the fake GPUs is kept, everything else is replaced, and all of it is root's."""
    tree, node = tmp_path / "tree", tmp_path / "node"
    library, state = "opt/fake-gpu/usr/lib.so", "opt/fake-gpu/var/lib/state"
    node.mkdir()
    for text in ("first", "second"):
        for name in (library, state, "etc/cdi/spec.json"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(text)
        pack(tree, tmp_path / "gpus.tar")
        with (tmp_path / "gpus.tar").open("rb") as stdin:
            subprocess.run(["sh", "-ec", UNPACK.format(root=f"{node}/")], stdin=stdin, check=True)
    assert (node / library).read_text() == "second"
    assert (node / state).read_text() == "first"
    with tarfile.open(tmp_path / "gpus.tar") as tar:
        assert {(entry.uid, entry.gid) for entry in tar} == {(0, 0)}


def test_workers_come_in_kinds_order() -> None:
    """The tenth after the second; the control plane runs no pods."""
    names = ["a-b-worker10", "a-b-control-plane", "a-b-worker2", "a-b-worker"]
    assert workers(names) == ["a-b-worker", "a-b-worker2", "a-b-worker10"]
    with pytest.raises(NoClusterError):
        workers([])


def test_examples_run_on_nodes_of_other_names() -> None:
    """Whole words only; with the examples' own names nothing changes."""
    text = (EXAMPLES / "node-name" / "pod.yaml").read_text()
    assert "nodeName: c-worker2" in with_nodes(text, ["c-worker", "c-worker2"])
    assert with_nodes(text, NODES) == text
    assert with_nodes("node-bc node-a", ["x", "y"]) == "node-bc x"
