"""What the test bed needs of a cluster, whatever the cluster is made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Backend(Protocol):
    """A cluster of that name; it need not exist yet.

    Methods raise TestbedError or ClusterError with a message that says what failed.
    """

    @property
    def kubeconfig(self) -> Path:
        """An admin's, for use on this machine."""

    @property
    def programs(self) -> Path:
        """The folder with kubectl and helm, for PATH; only while the cluster exists."""

    @property
    def nodes(self) -> list[str]:
        """The nodes that run pods, always in the same order; only while the cluster exists."""

    def up(self, images: Sequence[Path]) -> None:
        """Have the cluster run, every node Ready and with the images of these archives."""

    def down(self, *, keep_logs: bool = False) -> None:
        """Remove every trace, but for the logs where `keep_logs`; harmless where there is no cluster."""

    def wait_ready(self) -> None:
        """Until every node is Ready and pods can be created."""

    def load_image(self, archive: Path) -> None:
        """Import an image archive on every node that runs pods."""

    def put_gpus(self, node: str, profile: str) -> None:
        """Put the fake driver's root and the base CDI spec on a node: once more changes nothing that is in use."""

    def node_exec(self, node: str, argv: Sequence[str]) -> str:
        """What a command prints on a node, whatever its exit status."""

    def kill_process_in_node(self, node: str, pattern: str, *, full: bool = False) -> bool:
        """SIGKILL processes by name, or by command line when `full`; False where there is none."""

    def reboot(self, node: str) -> None:
        """Kill everything on a node at once and boot it: its disk stays, /run is fresh. Returns when Ready again."""
