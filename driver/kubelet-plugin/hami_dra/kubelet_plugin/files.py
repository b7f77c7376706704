"""Writing and removing files so that a crash leaves the old or the new, never a half."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from hami_dra.kubelet_plugin.errors import NodeStateError


def write_atomic(path: Path, data: bytes, *, mode: int, durable: bool) -> None:
    """Replace `path` by rename; with `durable`, it survives a power cut.

    Raises:
        NodeStateError: any file operation failed.
    """
    # The leading dot and the suffix hide the half-written file from readers of the CDI folders.
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
        scratch.rename(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise NodeStateError.from_os("write", path, error) from error


def make_folder(path: Path, mode: int | None = None) -> None:
    """Make `path` and its parents; `mode` is for folders of our own and holds whatever the umask."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if mode is not None:
            path.chmod(mode)
    except OSError as error:
        raise NodeStateError.from_os("make", path, error) from error


def read_bytes(path: Path) -> bytes | None:
    """The file's content; None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NodeStateError.from_os("read", path, error) from error


def remove_file(path: Path, *, durable: bool = False) -> None:
    """Remove `path`; it may be gone already."""
    try:
        path.unlink(missing_ok=True)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        if not _was_gone(path, error):
            raise NodeStateError.from_os("remove", path, error) from error


def remove_folder(path: Path) -> None:
    """Remove a folder of plain files; it may be gone already."""
    try:
        for child in list_folder(path):
            child.unlink(missing_ok=True)
        path.rmdir()
    except OSError as error:
        if not _was_gone(path, error):
            raise NodeStateError.from_os("remove", path, error) from error


def list_folder(path: Path) -> list[Path]:
    """What lies in the folder, by name; nothing where there is none."""
    try:
        return sorted(path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise NodeStateError.from_os("list", path, error) from error


def _was_gone(path: Path, error: OSError) -> bool:
    # A read-only file system refuses before it looks whether there is anything to remove.
    return error.errno in (errno.ENOENT, errno.EROFS) and not os.path.lexists(path)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
