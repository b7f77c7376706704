"""The local cluster as a test bed's backend."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.api import Cluster
from cluster.errors import UsageError
from testbed import fakes
from testbed.names import NODES


@dataclass(frozen=True)
class LocalBackend:
    """An adapter: nodes are namespaces of this machine."""

    cluster: Cluster

    @property
    def kubeconfig(self) -> Path:
        return self.cluster.kubeconfig

    @property
    def programs(self) -> Path:
        return self.cluster.programs

    @property
    def nodes(self) -> list[str]:
        return self.cluster.nodes

    def up(self, images: Sequence[Path]) -> None:
        self.cluster.up(list(NODES), images)

    def down(self, *, keep_logs: bool = False) -> None:
        self.cluster.down(keep_logs=keep_logs)

    def wait_ready(self) -> None:
        self.cluster.wait_ready()

    def load_image(self, archive: Path) -> None:
        self.cluster.load_image(archive)

    def put_gpus(self, node: str, profile: str) -> None:
        layout = self.cluster.layout.node(node)
        fakes.install(profile, node, layout.opt, layout.cdi)

    def node_exec(self, node: str, argv: Sequence[str]) -> str:
        return self.cluster.node_exec(node, argv, check=False).stdout

    def kill_process_in_node(self, node: str, pattern: str, *, full: bool = False) -> bool:
        try:
            self.cluster.kill_process_in_node(node, pattern, full=full)
        except UsageError:
            return False
        return True

    def reboot(self, node: str) -> None:
        self.cluster.reboot(node)
