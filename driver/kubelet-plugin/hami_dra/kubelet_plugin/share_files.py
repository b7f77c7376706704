"""The three files of each share, and the folders around them.

Containers mount these files one by one, and a mount pins its inode: what exists
is mended in place, never replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hami_dra.api import names
from hami_dra.api.names import ShareId
from hami_dra.kubelet_plugin import files, node_page
from hami_dra.kubelet_plugin import share_layout as layout
from hami_dra.kubelet_plugin.entries import ShareResult
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.node_page import NodeFields
from hami_dra.kubelet_plugin.paths import NodePaths
from hami_dra.kubelet_plugin.selinux import Label, unlabelled
from hami_dra.kubelet_plugin.share_text import Limits, parse_limits, render_limits
from hami_dra.kubelet_plugin.usage import slots_bytes

_FILES = (names.LIMITS_FILE, names.NODE_FILE, names.USAGE_FILE)
_FOLDER_MODE = 0o711
_READ_ONLY_MODE = 0o444
# Non-root users and user namespaces reach the region only as "other".
_USAGE_MODE = 0o666


class ShareFiles:
    """The folders under `<run_dir>/shares`; `clock_ns` is CLOCK_MONOTONIC, `label` is for each file."""

    def __init__(self, paths: NodePaths, clock_ns: Callable[[], int], label: Label = unlabelled) -> None:
        self._paths = paths
        self._clock_ns = clock_ns
        self._label = label
        # As text, for what is opened each second: to put a Path together takes longer than to open it.
        self._shares = str(paths.shares_dir)

    def ensure(self, share: ShareResult, *, fresh: bool) -> None:
        """Make or mend the share's files; `fresh` empties a usage region left from before.

        Raises:
            NodeStateError: also where the tmpfs has no room for the usage region.
        """
        folder = self._paths.share(share.share_id)
        files.make_folder(self._paths.run_dir, _FOLDER_MODE)
        files.make_folder(self._paths.shares_dir, _FOLDER_MODE)
        files.make_folder(folder, _FOLDER_MODE)
        self._ensure_limits(folder / names.LIMITS_FILE, render_limits(share))
        self._ensure_node(folder / names.NODE_FILE)
        self._ensure_usage(folder / names.USAGE_FILE, fresh=fresh)
        for name in _FILES:
            self._label(folder / name)

    def has(self, share_id: ShareId) -> bool:
        """Whether all files of the share are there."""
        folder = self._paths.share(share_id)
        return all((folder / name).exists() for name in _FILES)

    def remove(self, share_id: ShareId) -> None:
        """Remove the share's folder; it may be gone already."""
        files.remove_folder(self._paths.share(share_id))

    def list(self) -> dict[ShareId, Limits | None]:
        """Every share folder of this node with its limits; None where they cannot be read."""
        found: dict[ShareId, Limits | None] = {}
        for folder in files.list_folder(self._paths.shares_dir):
            data = files.read_bytes(folder / names.LIMITS_FILE) if folder.is_dir() else None
            found[ShareId(folder.name)] = None if data is None else parse_limits(data)
        return found

    def beat(self, share_id: ShareId, fields: NodeFields) -> bool:
        """Write the share's node page, its heartbeat now, and truncate a usage region that its tenant made grow.

        False: what was there was no node page of ours, and a whole one has been written.
        """
        with _opened(self._file(share_id, names.NODE_FILE), os.O_RDWR) as descriptor:
            page = os.pread(descriptor, layout.NODE_BYTES, 0)
            fields = replace(fields, heartbeat_ns=self._clock_ns())
            if not node_page.is_page(page):
                os.pwrite(descriptor, node_page.new_page(fields), 0)
                return False
            for write in node_page.plan_update(page, fields):
                os.pwrite(descriptor, write.data, write.offset)
        with _opened(self._file(share_id, names.USAGE_FILE), os.O_RDWR) as descriptor:
            if os.fstat(descriptor).st_size > layout.USAGE_FILE_BYTES:
                os.ftruncate(descriptor, layout.USAGE_FILE_BYTES)
        return True

    def read_totals(self, share_id: ShareId) -> bytes:
        """The first page of the usage region alone; empty where it cannot be read."""
        try:
            with _opened(self._file(share_id, names.USAGE_FILE), os.O_RDONLY) as descriptor:
                return os.pread(descriptor, layout.USAGE_PAGE_BYTES, 0)
        except NodeStateError:
            return b""

    def read_usage(self, share_id: ShareId) -> bytes:
        """The first page of the usage region and the slots that were ever taken.

        Empty where it cannot be read or is too short for its layout, so that no process can use it.
        """
        try:
            with _opened(self._file(share_id, names.USAGE_FILE), os.O_RDONLY) as descriptor:
                if os.fstat(descriptor).st_size < layout.USAGE_FILE_BYTES:
                    return b""
                page = os.pread(descriptor, layout.USAGE_PAGE_BYTES, 0)
                return page + os.pread(descriptor, slots_bytes(page), layout.USAGE_SLOTS_OFFSET)
        except NodeStateError:
            return b""

    def _file(self, share_id: ShareId, name: str) -> str:
        return f"{self._shares}/{share_id}/{name}"

    def _ensure_limits(self, path: Path, content: bytes) -> None:
        with _opened(path, os.O_RDWR | os.O_CREAT) as descriptor:
            os.fchmod(descriptor, _READ_ONLY_MODE)
            if os.pread(descriptor, layout.LIMITS_MAX_BYTES + 1, 0) == content:
                return
            os.pwrite(descriptor, content, 0)
            os.ftruncate(descriptor, len(content))

    def _ensure_node(self, path: Path) -> None:
        with _opened(path, os.O_RDWR | os.O_CREAT) as descriptor:
            os.fchmod(descriptor, _READ_ONLY_MODE)
            if not node_page.is_page(os.pread(descriptor, layout.NODE_BYTES + 1, 0)):
                os.pwrite(descriptor, node_page.new_page(NodeFields(heartbeat_ns=self._clock_ns())), 0)
                os.ftruncate(descriptor, layout.NODE_BYTES)

    def _ensure_usage(self, path: Path, *, fresh: bool) -> None:
        with _opened(path, os.O_RDWR | os.O_CREAT) as descriptor:
            os.fchmod(descriptor, _USAGE_MODE)
            size = 0 if fresh else os.fstat(descriptor).st_size
            if fresh:
                os.ftruncate(descriptor, 0)
            if size > layout.USAGE_FILE_BYTES:
                os.ftruncate(descriptor, layout.USAGE_FILE_BYTES)
            if size < layout.USAGE_FILE_BYTES:
                # Backed by memory now, so that a full tmpfs is an error here and no SIGBUS in a container.
                os.posix_fallocate(descriptor, 0, layout.USAGE_FILE_BYTES)


@contextmanager
def _opened(path: Path | str, flags: int) -> Iterator[int]:
    """A descriptor of `path` that follows no link; OSErrors leave as NodeStateError."""
    # A tenant's root may take a lease on its usage file: without O_NONBLOCK we would wait 45 s for it.
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NodeStateError.from_os("write", path, error) from error
