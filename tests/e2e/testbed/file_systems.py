"""A node whose plugin writes to file systems of its own, so small that they can be filled, and made read-only."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from testbed.bed import Testbed
from testbed.waiting import until

STATE = "/var/lib/kubelet/plugins/gpu.hami.io"
RUN = "/run/hami"

# The node shares its mounts, and a shared one cannot be moved.
COVER = """
set -e
small=$(mktemp -d)
mount -t tmpfs -o size=16m,mode=755 tmpfs "$small"
cp -a "$1/." "$small"
mount --bind "$small" "$1"
umount "$small"
rmdir "$small"
echo covered
"""


@dataclass(frozen=True)
class SmallFileSystem:
    """A tmpfs over a folder of a node."""

    bed: Testbed
    node: str
    folder: str

    @contextmanager
    def full(self) -> Iterator[None]:
        """No byte of it is free."""
        ballast = f"{self.folder}/ballast"
        self.bed.cluster.node_exec(self.node, ["sh", "-c", f"cat /dev/zero > {ballast}"])
        try:
            yield
        finally:
            self.bed.cluster.node_exec(self.node, ["rm", "-f", ballast])

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """As the kernel remounts a disk that fails."""
        self._remount("ro")
        try:
            yield
        finally:
            self._remount("rw")

    def _remount(self, option: str) -> None:
        self.bed.cluster.node_exec(self.node, ["mount", "-o", f"remount,{option}", self.folder])
        options = self.bed.cluster.node_exec(self.node, ["findmnt", "-n", "-o", "FS-OPTIONS", self.folder])
        assert option in options.split(",")[0], options


@contextmanager
def small_file_systems(bed: Testbed, node: str) -> Iterator[tuple[SmallFileSystem, SmallFileSystem]]:
    """The plugin's disk and its tmpfs: of a node without shares, for containers keep the files that they mounted."""
    folders = (STATE, RUN)
    try:
        for folder in folders:
            assert "covered" in bed.cluster.node_exec(node, ["sh", "-c", COVER, "sh", folder])
        restart_plugin(bed, node)
        yield SmallFileSystem(bed, node, STATE), SmallFileSystem(bed, node, RUN)
    finally:
        for folder in folders:
            bed.cluster.node_exec(node, ["umount", "--lazy", folder])
        restart_plugin(bed, node)


def restart_plugin(bed: Testbed, node: str) -> None:
    """Until the plugin runs in another container, which sees the mounts that there are now."""

    def container() -> tuple[str, bool]:
        (status,) = bed.plugin_pod(node)["status"]["containerStatuses"]
        return status["containerID"], status["ready"]

    before, _ = container()
    bed.kill_in_node(node, "hami-dra-kubelet-plugin")
    until(lambda: container()[0] != before and container()[1], f"the plugin on {node} is another one")
    bed.driver_ready(node)
