"""The checkpoint on disk: load once, replace whole, set aside when it cannot be trusted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hami_dra.api.names import ClaimUid
from hami_dra.kubelet_plugin import files
from hami_dra.kubelet_plugin.checkpoint import decode, encode
from hami_dra.kubelet_plugin.entries import Entries, Entry
from hami_dra.kubelet_plugin.errors import CheckpointCorrupt, NodeStateError


@dataclass(frozen=True)
class Loaded:
    """What a start finds. `corrupt` says why the file was set aside; `missing` that there was none."""

    entries: dict[ClaimUid, Entry] = field(default_factory=dict)
    corrupt: str | None = None
    missing: bool = False


class CheckpointFile:
    """The one file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Loaded:
        """Read it; a corrupt one is renamed to `<path>.corrupt` and reported, never raised.

        Raises:
            NodeStateError: the file cannot be read or renamed.
        """
        data = files.read_bytes(self._path)
        if data is None:
            return Loaded(missing=True)
        try:
            return Loaded(entries=decode(data))
        except CheckpointCorrupt as error:
            aside = self._path.with_name(f"{self._path.name}.corrupt")
            try:
                self._path.rename(aside)
            except OSError as os_error:
                raise NodeStateError.from_os("rename", self._path, os_error) from os_error
            return Loaded(corrupt=f"{error}; it was set aside as {aside}")

    def save(self, entries: Entries) -> None:
        """Replace the file durably."""
        files.write_atomic(self._path, encode(entries), mode=0o600, durable=True)
