"""Labels for SELinux, on a file system that keeps them in a table; no test machine runs SELinux."""

from __future__ import annotations

import dataclasses
import errno
from pathlib import Path

import pytest
from plugin_objects import NODE, Node, entry, share, share_id

from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.library import LibraryFiles
from hami_dra.kubelet_plugin.metadata_files import MetadataFiles
from hami_dra.kubelet_plugin.metadata_plan import first_of_requests
from hami_dra.kubelet_plugin.selinux import FileLabels, is_enabled
from hami_dra.kubelet_plugin.share_files import ShareFiles

WANTED = b"system_u:object_r:container_file_t:s0\0"
OF_THE_FOLDER = b"system_u:object_r:container_runtime_tmpfs_t:s0\0"


class Labelled:
    """Files as SELinux labels them: as their folder is, until they are told otherwise."""

    def __init__(self, known: bytes = WANTED) -> None:
        self._known = known
        self.labels: dict[Path, bytes] = {}
        self.writes = 0

    def get(self, path: Path, name: str) -> bytes:
        """The label of a file that is there."""
        assert name == "security.selinux"
        assert path.exists()
        return self.labels.get(path, OF_THE_FOLDER)

    def set(self, path: Path, name: str, value: bytes) -> None:
        """Label it, if the policy knows that label."""
        assert name == "security.selinux"
        if value != self._known:
            raise OSError(errno.EINVAL, "Invalid argument")
        self.labels[path] = value
        self.writes += 1

    def file_labels(self, *, enabled: bool = True) -> FileLabels:
        """What the plugin uses."""
        return FileLabels(enabled=enabled, get_attribute=self.get, set_attribute=self.set)


def test_every_file_that_containers_mount_is_labelled_once(node: Node) -> None:
    """The share's three, the library, the file that names it to the loader, and what tells of the device."""
    table, told = Labelled(), dataclasses.replace(entry(), pod_claim="gpu")
    label = table.file_labels().open_to_containers
    library = LibraryFiles(node.paths, node.library, "0.1.0", label)
    for _ in range(2):
        ShareFiles(node.paths, lambda: 1, label).ensure(share(), fresh=False)
        library.ensure(library.version())
        MetadataFiles(node.paths, NODE, label).write(told, {})
    folder = node.paths.share(share_id(1))
    mounted = {folder / "limits", folder / "node", folder / "usage"}
    mounted |= {node.paths.library(library.version()), node.paths.preload(library.version())}
    mounted |= {node.paths.metadata(told.claim.uid, request) for request in first_of_requests(told)}
    assert table.labels == dict.fromkeys(mounted, WANTED)
    assert table.writes == len(mounted)


def test_without_selinux_nothing_is_labelled(node: Node) -> None:
    """The attribute means nothing there."""
    table = Labelled()
    ShareFiles(node.paths, lambda: 1, table.file_labels(enabled=False).open_to_containers).ensure(share(), fresh=True)
    assert table.labels == {}


def test_a_label_that_cannot_be_set_fails_the_claim(node: Node) -> None:
    """A container that cannot read its preload file would run without a limit."""
    label = Labelled(known=b"system_u:object_r:svirt_sandbox_file_t:s0\0").file_labels().open_to_containers
    with pytest.raises(NodeStateError, match=r"cannot set the SELinux label of .*limits: Invalid argument"):
        ShareFiles(node.paths, lambda: 1, label).ensure(share(), fresh=True)


def test_selinux_is_on_where_the_kernel_has_its_file_system(tmp_path: Path) -> None:
    """A kernel that only could have it does not list it."""
    table = tmp_path / "filesystems"
    assert not is_enabled(table)
    table.write_text("nodev\tsysfs\nnodev\tselinuxfs\n\text4\n")
    assert is_enabled(table)
    table.write_text("nodev\tsysfs\n\text4\n")
    assert not is_enabled(table)
