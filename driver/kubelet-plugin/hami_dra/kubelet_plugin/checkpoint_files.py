"""The checkpoint on disk: one file per claim, set aside when it cannot be trusted.

Version 0.1.0 had all claims in one file. That file is read at the start and
removed once every claim has its own; a process that ends in order writes it
again, so that going back by one version loses nothing. While it exists it is
the truth: nobody but an older version can have written it last.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

from hami_dra.api.names import ClaimUid
from hami_dra.kubelet_plugin import files
from hami_dra.kubelet_plugin.checkpoint import decode, decode_entry, encode, encode_entry
from hami_dra.kubelet_plugin.entries import Entries, Entry, State
from hami_dra.kubelet_plugin.errors import CheckpointCorrupt, NodeStateError

_MODE = 0o600
_FOLDER_MODE = 0o700
_ASIDE = ".corrupt"
# The disk lost the file, or it is none: to read it again is no use.
_UNREADABLE = (errno.EIO, errno.EUCLEAN, errno.EISDIR)


@dataclass(frozen=True)
class Loaded:
    """What a start finds. `corrupt` says why which files were set aside; `missing` that there was no checkpoint."""

    entries: dict[ClaimUid, Entry] = field(default_factory=dict)
    corrupt: tuple[str, ...] = ()
    missing: bool = False


class CheckpointFiles:
    """The files of `folder`, and the older version's one file at `whole`.

    `counter` is a file whose time of change, in seconds, counts the writes of
    all processes. A time needs no room on a full disk.
    """

    def __init__(self, folder: Path, whole: Path, counter: Path, *, durable: bool = True) -> None:
        self._folder = folder
        self._whole = whole
        self._counter = counter
        self._durable = durable
        self._seen: int | None = None
        self._unsplit: Entries | None = None

    def load(self) -> Loaded:
        """Read it; a corrupt file is renamed to `<name>.corrupt` and reported, never raised.

        Raises:
            NodeStateError: a file cannot be read or renamed.
        """
        self._seen = self._count()
        # Where another process split the one file, what we read in it is not the truth any more.
        self._unsplit = None
        data = files.read_bytes(self._whole)
        if data is None:
            return self._load_folder()
        try:
            entries = decode(data)
        except CheckpointCorrupt as error:
            reason = self._set_aside(self._whole, error)
            rest = self._load_folder()
            return Loaded(rest.entries, (reason, *rest.corrupt))
        self._unsplit = entries
        return Loaded(entries)

    def has_changed(self) -> bool:
        """Whether another process wrote since we last read or wrote."""
        return self._count() != self._seen

    def put(self, entry: Entry) -> None:
        """Write the claim's file; once this returns a completed entry survives a power cut. Raises NodeStateError."""
        self._begin()
        # What was only started lies in a tmpfs, which no power cut outlives.
        durable = self._durable and entry.state is State.COMPLETED
        files.make_folder(self._folder, _FOLDER_MODE)
        files.write_atomic(self._path(entry.claim.uid), encode_entry(entry), mode=_MODE, durable=durable)

    def drop(self, uid: ClaimUid) -> None:
        """Remove the claim's file. Raises NodeStateError."""
        self._begin()
        if self._folder.exists():
            files.remove_file(self._path(uid), durable=self._durable)

    def save(self, entries: Entries) -> None:
        """Replace all of it. Raises NodeStateError."""
        self._touch()
        self._split(entries)

    def export(self, entries: Entries) -> None:
        """Leave the one file for an older version; only where no other process writes. Raises NodeStateError."""
        files.write_atomic(self._whole, encode(entries), mode=_MODE, durable=self._durable)

    def _load_folder(self) -> Loaded:
        entries: dict[ClaimUid, Entry] = {}
        corrupt: list[str] = []
        for path in files.list_folder(self._folder):
            if path.name.startswith(".") or path.name.endswith(_ASIDE):
                continue
            try:
                entry = _decode(path.name, _read(path))
            except CheckpointCorrupt as error:
                corrupt.append(self._set_aside(path, error))
                continue
            entries[entry.claim.uid] = entry
        return Loaded(entries, tuple(corrupt), missing=not self._folder.exists())

    def _set_aside(self, path: Path, reason: CheckpointCorrupt) -> str:
        aside = path.with_name(f"{path.name}{_ASIDE}")
        try:
            path.rename(aside)
        except OSError as error:
            raise NodeStateError.from_os("rename", path, error) from error
        return f"{path}: {reason}; it was set aside as {aside.name}"

    def _begin(self) -> None:
        self._touch()
        if self._unsplit is not None:
            self._split(self._unsplit)

    def _split(self, entries: Entries) -> None:
        files.make_folder(self._folder, _FOLDER_MODE)
        for uid, entry in entries.items():
            data = encode_entry(entry)
            # Mostly they are there: we wrote both when we ended.
            if files.read_bytes(self._path(uid)) != data:
                files.write_atomic(self._path(uid), data, mode=_MODE, durable=self._durable)
        for path in files.list_folder(self._folder):
            if path.name not in entries and not path.name.endswith(_ASIDE) and not path.is_dir():
                files.remove_file(path)
        files.remove_file(self._whole, durable=self._durable)
        self._unsplit = None

    def _touch(self) -> None:
        # Before the write: where we die in between, others read once in vain.
        count = (self._count() or 0) + 1
        try:
            os.close(os.open(self._counter, os.O_CREAT | os.O_CLOEXEC | os.O_RDONLY, _MODE))
            os.utime(self._counter, (count, count))
        except OSError as error:
            raise NodeStateError.from_os("write", self._counter, error) from error
        self._seen = count

    def _count(self) -> int | None:
        try:
            return int(self._counter.stat().st_mtime)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NodeStateError.from_os("read", self._counter, error) from error

    def _path(self, uid: ClaimUid) -> Path:
        return self._folder / uid


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno in _UNREADABLE:
            raise CheckpointCorrupt(f"it cannot be read: {error.strerror}") from error
        raise NodeStateError.from_os("read", path, error) from error


def _decode(name: str, data: bytes) -> Entry:
    entry = decode_entry(data)
    if entry.claim.uid != name:
        raise CheckpointCorrupt(f"it is of claim {entry.claim.uid}")
    return entry
