"""The interceptor that containers load: one folder per version, so that no running process's library changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from hami_dra.kubelet_plugin import files
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.paths import NodePaths
from hami_dra.kubelet_plugin.selinux import Label, unlabelled
from hami_dra.kubelet_plugin.share_text import render_preload


class LibraryFiles:
    """Copies of the image's library on the node, by version."""

    def __init__(self, paths: NodePaths, source: Path, project_version: str, label: Label = unlabelled) -> None:
        self._paths = paths
        self._label = label
        self._source = source
        self._project_version = project_version
        self._known_version: str | None = None

    def version(self) -> str:
        """`<project version>-<8 hex digits of the library's SHA-256>`: content decides, not the tag of an image."""
        if self._known_version is None:
            digest = hashlib.sha256(self._content()).hexdigest()
            self._known_version = f"{self._project_version}-{digest[:8]}"
        return self._known_version

    def ensure(self, version: str) -> None:
        """Have library and preload file of `version` on the node.

        Raises:
            NodeStateError: the library of an older version is gone and the image has another.
        """
        library = self._paths.library(version)
        if not library.exists():
            self._copy(version)
        preload = self._paths.preload(version)
        if files.read_bytes(preload) != render_preload(version):
            files.make_folder(self._paths.run_dir, 0o711)
            files.make_folder(self._paths.preload_dir, 0o711)
            files.write_atomic(preload, render_preload(version), mode=0o444, durable=False)
        for file in (library, preload):
            self._label(file)

    def remove_unused(self, used: Iterable[str]) -> None:
        """Remove every version but `used` and the image's own; nothing where that one is unknown."""
        try:
            keep = {*used, self.version()}
        except NodeStateError:
            return
        for folder in files.list_folder(self._paths.library_dir):
            if folder.name not in keep:
                files.remove_folder(folder)
        for preload in files.list_folder(self._paths.preload_dir):
            if preload.name not in keep:
                files.remove_file(preload)

    def _copy(self, version: str) -> None:
        if version != self.version():
            raise NodeStateError(
                f"the interceptor {version} of this share is gone from {self._paths.library_dir} "
                f"and the plugin's image has {self.version()}"
            )
        files.make_folder(self._paths.library(version).parent, 0o755)
        files.write_atomic(self._paths.library(version), self._content(), mode=0o755, durable=True)

    def _content(self) -> bytes:
        data = files.read_bytes(self._source)
        if data is None:
            raise NodeStateError(f"the plugin's image has no interceptor at {self._source}")
        return data
