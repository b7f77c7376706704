"""SELinux labels of the files that containers mount: confined containers read nothing else of the node.

A preload file that a container may not read is no error to its dynamic loader, which then loads no interceptor. So
where SELinux is on, a file without its label is an error of ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from hami_dra.kubelet_plugin.errors import NodeStateError

Label = Callable[[Path], None]
"""Makes a file one that containers may use; raises NodeStateError."""

_ATTRIBUTE = "security.selinux"
# Every container's files have this type; without categories it is no single pod's.
_LABEL = b"system_u:object_r:container_file_t:s0\0"
_FILE_SYSTEMS = Path("/proc/filesystems")


def is_enabled(file_systems: Path = _FILE_SYSTEMS) -> bool:
    """Whether the kernel runs SELinux, enforcing or not: it has its file system then, seen from every container."""
    try:
        return "selinuxfs" in file_systems.read_text().split()
    except OSError:
        return False


def unlabelled(path: Path) -> None:
    """Leave `path` as it is."""


class FileLabels:
    """Labels files of ours, where SELinux is on."""

    def __init__(
        self,
        *,
        enabled: bool,
        get_attribute: Callable[[Path, str], bytes] = os.getxattr,
        set_attribute: Callable[[Path, str, bytes], None] = os.setxattr,
    ) -> None:
        self._enabled = enabled
        self._get_attribute = get_attribute
        self._set_attribute = set_attribute

    def open_to_containers(self, path: Path) -> None:
        """Have containers read and write `path` as far as its mode and mount let them; nothing without SELinux.

        Raises:
            NodeStateError: the label cannot be set, e.g. as the node's policy has no containers.
        """
        if not self._enabled:
            return
        try:
            if self._get_attribute(path, _ATTRIBUTE) != _LABEL:
                self._set_attribute(path, _ATTRIBUTE, _LABEL)
        except OSError as error:
            raise NodeStateError.from_os("set the SELinux label of", path, error) from error
