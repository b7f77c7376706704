"""A kind cluster as a test bed's backend: the programs kind and docker, and nothing else.

kind names its nodes after the cluster: NAME-control-plane, NAME-worker, NAME-worker2.
"""

import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import fakes, kind_config
from testbed.engines import Engine
from testbed.errors import CommandError, NoClusterError, ReadError
from testbed.kubectl import Kubectl, run
from testbed.names import KIND_CONFIG
from testbed.waiting import until

CREATE_SECONDS = 600
READY_SECONDS = 180

# What programs have mapped is never replaced; everything else may be newer than what is there.
UNPACK = """
mkdir -p {root}opt {root}etc/cdi
cd {root}
if [ -e opt/fake-gpu/var ]; then tar -xf - --exclude=opt/fake-gpu/var; else tar -xf -; fi
"""
MAKE_DEVICES = 'for path; do mkdir -p "${path%/*}"; [ -c "$path" ] || mknod -m 666 "$path" c 1 3; done'


@dataclass(frozen=True)
class KindBackend:
    """A cluster of containers; `folder` keeps its kubeconfig and the programs for its user."""

    name: str
    engine: Engine
    folder: Path
    kind: Path
    helm: Path
    extra_images: tuple[Path, ...] = ()
    """Archives that the local cluster's nodes have anyhow."""

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def programs(self) -> Path:
        return self.folder / "bin"

    @property
    def nodes(self) -> list[str]:
        return workers(self._all_nodes())

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.programs, self.kubeconfig)

    def up(self, images: Sequence[Path]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.engine.start()
        nodes = self._all_nodes()
        if nodes:
            # An engine that was restarted leaves them stopped.
            self._docker("start", *nodes)
        else:
            self._create()
        self.engine.expose(kind_config.api_port(self.kubeconfig.read_text()))
        self._gather_programs()
        self.wait_ready()
        for archive in (*self.extra_images, *images):
            self.load_image(archive)

    def _create(self) -> None:
        config = self.folder / "kind.yaml"
        config.write_text(kind_config.for_tests(KIND_CONFIG.read_text()))
        argv: list[str | Path] = ["create", "cluster", "--name", self.name, "--image", self.engine.node_image]
        argv += ["--config", config, "--kubeconfig", self.kubeconfig, "--wait", "120s"]
        self._kind(*argv, timeout=CREATE_SECONDS)

    def _gather_programs(self) -> None:
        """kubectl comes from the nodes: it has their version and need not be built."""
        self.programs.mkdir(exist_ok=True)
        for name, source in (("kind", self.kind), ("helm", self.helm)):
            link = self.programs / name
            link.unlink(missing_ok=True)
            link.symlink_to(source)
        self._docker("cp", "-L", f"{self.name}-control-plane:/usr/bin/kubectl", self.programs / "kubectl")

    def down(self, *, keep_logs: bool = False) -> None:
        try:
            if self.engine.answers() and self._all_nodes():
                if keep_logs:
                    self._export_logs()
                if not self.engine.ends_with_cluster:
                    self._kind("delete", "cluster", "--name", self.name, "--kubeconfig", self.kubeconfig)
        finally:
            self.engine.remove()
        if not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _export_logs(self) -> None:
        try:
            self._kind("export", "logs", self.folder / "logs", "--name", self.name)
        except CommandError as error:
            # Our node image has no crictl, which kind asks for the list of images; all else is written by then.
            if "crictl" not in error.output:
                raise

    def wait_ready(self) -> None:
        wait = ("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={READY_SECONDS}s")
        until(self._api_answers, "the API server answers", timeout=READY_SECONDS)
        self.kubectl(*wait, timeout=READY_SECONDS + 30)
        until(lambda: self.kubectl.get("serviceaccounts", "default"), "pods can be created", timeout=READY_SECONDS)

    def load_image(self, archive: Path) -> None:
        nodes = ",".join(self.nodes)
        self._kind("load", "image-archive", archive, "--name", self.name, "--nodes", nodes, timeout=CREATE_SECONDS)

    def put_gpus(self, node: str, profile: str) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch)
            cdi = tree / "etc" / "cdi"
            fakes.install(profile, node, tree / "opt", cdi, devices=False)
            devices = fakes.device_paths(cdi)
            archive = tree / "gpus.tar"
            pack(tree, archive)
            with archive.open("rb") as stdin:
                command = ["docker", "exec", "-i", node, "sh", "-ec", UNPACK.format(root="/")]
                environment = {**os.environ, **self.engine.environment}
                done = subprocess.run(
                    command, env=environment, stdin=stdin, capture_output=True, text=True, check=False
                )
        if done.returncode:
            raise CommandError(command, done.returncode, done.stdout + done.stderr)
        self._docker("exec", node, "sh", "-ec", MAKE_DEVICES, "sh", *devices)

    def node_exec(self, node: str, argv: Sequence[str]) -> str:
        script = f"{shlex.join(argv)} || true"
        return self._docker("exec", node, "sh", "-c", script)

    def kill_process_in_node(self, node: str, pattern: str, *, full: bool = False) -> bool:
        try:
            self._docker("exec", node, "pkill", "-KILL", "-f" if full else "-x", "--", pattern)
        except CommandError as error:
            if error.status == 1:  # pkill's word for: none matches
                return False
            raise
        return True

    def reboot(self, node: str) -> None:
        self._docker("stop", "-t", "0", node)
        # The node stays Ready for a while after its death: only a new heartbeat tells that it lives again.
        before = self._heartbeat(node)
        self._docker("start", node)
        until(lambda: self._heartbeat(node) != before, f"node {node} is back", timeout=READY_SECONDS)
        self.wait_ready()

    def _heartbeat(self, node: str) -> str:
        lease = self.kubectl.within("kube-node-lease").get("leases", node)
        return str(lease.get("spec", {}).get("renewTime", ""))

    def _api_answers(self) -> bool:
        try:
            return bool(self.kubectl.items("nodes"))
        except ReadError:
            return False

    def _all_nodes(self) -> list[str]:
        label = f"label=io.x-k8s.kind.cluster={self.name}"
        return self._docker("ps", "--all", "--filter", label, "--format", "{{.Names}}").split()

    def _docker(self, *words: str | Path) -> str:
        return run(["docker", *words], env=dict(self.engine.environment))

    def _kind(self, *words: str | Path, timeout: float = 180) -> str:
        environment = {**self.engine.environment, "KIND_EXPERIMENTAL_PROVIDER": "docker"}
        return run([self.kind, *words], env=environment, timeout=timeout)


def workers(nodes: Sequence[str]) -> list[str]:
    """The nodes that run pods, in kind's order: worker, worker2, … worker10."""
    found = [node for node in nodes if node.rpartition("-")[2].startswith("worker")]
    if not found:
        raise NoClusterError("there is no kind cluster of that name")
    return sorted(found, key=lambda node: (len(node), node))


def pack(tree: Path, archive: Path) -> None:
    """Put `opt` and `etc` of a folder into a tar whose entries belong to root."""

    def of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    with tarfile.open(archive, "w") as tar:
        for name in ("opt", "etc"):
            tar.add(tree / name, name, filter=of_root)


def exists(folder: Path) -> bool:
    """Whether a cluster was made with this folder and not removed; asks no engine."""
    return (folder / "kubeconfig").exists()
