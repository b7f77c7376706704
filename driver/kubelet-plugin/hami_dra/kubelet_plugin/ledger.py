"""The one owner of what is prepared on this node: entries in memory, never ahead of the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hami_dra.api.names import ClaimUid, ShareId, device_name
from hami_dra.kubelet_plugin.effects import EntryStore
from hami_dra.kubelet_plugin.entries import Entry
from hami_dra.kubelet_plugin.share_text import Limits
from hami_dra.kubelet_plugin.sums import Booking, bookings_of


class Ledger:
    """Entries by claim, and the share folders that have no entry but may be in use.

    Not thread-safe but for `snapshot`: whoever writes holds the preparer's lock.
    """

    def __init__(self, store: EntryStore) -> None:
        self._store = store
        self._entries: dict[ClaimUid, Entry] = {}
        self._strays: dict[ShareId, Limits] = {}

    def adopt(self, entries: Mapping[ClaimUid, Entry]) -> None:
        """Start from what the checkpoint said."""
        self._entries = dict(entries)

    def refresh(self) -> None:
        """Read again what another process changed meanwhile. Raises NodeStateError."""
        if self._store.has_changed():
            self._entries = self._store.load().entries

    def get(self, uid: ClaimUid) -> Entry | None:
        """The claim's entry."""
        return self._entries.get(uid)

    def snapshot(self) -> tuple[Entry, ...]:
        """All entries, ordered by claim UID; safe from any thread."""
        entries = self._entries
        return tuple(entries[uid] for uid in sorted(entries))

    def libraries(self) -> set[str]:
        """The library versions that entries hold on to."""
        return {entry.library for entry in self._entries.values()}

    def put(self, entry: Entry) -> None:
        """Record the entry; once this returns it survives a crash. Raises NodeStateError."""
        if self._entries.get(entry.claim.uid) != entry:
            self._store.put(entry)
            # A new dictionary each time, so that readers on other threads see one state or the next.
            self._entries = {**self._entries, entry.claim.uid: entry}

    def drop(self, uid: ClaimUid) -> None:
        """Forget the claim. Raises NodeStateError."""
        if uid in self._entries:
            self._store.drop(uid)
            self._entries = {key: entry for key, entry in self._entries.items() if key != uid}

    def save(self) -> None:
        """Write the checkpoint as it is. Raises NodeStateError."""
        self._store.save(self._entries)

    def export(self) -> None:
        """Leave it all for an older version; only where no other process writes. Raises NodeStateError."""
        # One that ended just now may have had the last word.
        self.refresh()
        self._store.export(self._entries)

    def add_stray(self, share_id: ShareId, limits: Limits) -> None:
        """Count a share folder without entry as booked: its container may still run."""
        self._strays[share_id] = limits

    def drop_stray(self, share_id: ShareId) -> None:
        """The folder is gone."""
        self._strays.pop(share_id, None)

    @property
    def has_strays(self) -> bool:
        """Whether any folder is counted that no entry names."""
        return bool(self._strays)

    def has_stray_of(self, entry: Entry) -> bool:
        """Whether any share of the entry has a folder that no entry names."""
        return any(share.share_id in self._strays for share in entry.shares)

    def bookings(self, *, but: ClaimUid) -> Iterable[Booking]:
        """Everything that is booked on this node, except by the claim `but`."""
        known: set[ShareId] = set()
        for entry in self.snapshot():
            known.update(share.share_id for share in entry.shares)
            if entry.claim.uid != but:
                yield from bookings_of(entry)
        for share_id, limits in sorted(self._strays.items()):
            if share_id not in known:
                yield Booking(device_name(limits.uuid), share_id, limits.memory_bytes, limits.core_percent, None)
