"""What a start does before anything is served: bring files and checkpoint into line.

A reboot empties /run and with it every share's files and CDI spec; a lost
checkpoint leaves files whose claims only the CDI specs still name.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from functools import partial

from hami_dra.api.names import ClaimUid, ShareId, device_name
from hami_dra.kubelet_plugin.cdi_plan import cdi_ids
from hami_dra.kubelet_plugin.checkpoint_files import Loaded
from hami_dra.kubelet_plugin.effects import Effects
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry, ShareResult, State
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.processes import Alive
from hami_dra.kubelet_plugin.share_text import Limits


@dataclass(frozen=True)
class Recovered:
    """What a start found: `lost` says why the checkpoint was, `broken` what could not be mended or removed."""

    lost: str | None
    broken: tuple[str, ...]


def recover(effects: Effects, ledger: Ledger, boot_id: str) -> Recovered:
    """Load the checkpoint into `ledger`, mend what completed claims need, remove what no claim needs.

    Raises:
        NodeStateError: our own folders cannot be read or written.
    """
    loaded = effects.checkpoint.load()
    folders = effects.shares.list()
    rebuilt = _rebuild(effects, folders, boot_id, known=loaded.entries.keys())
    lost = "; ".join(loaded.corrupt) or _missing(loaded, rebuilt)
    ledger.adopt({**rebuilt, **loaded.entries})
    broken = _mend_all(effects, ledger, boot_id)
    broken += _remove_orphans(effects, ledger, folders, trust_checkpoint=not lost)
    if lost or loaded.missing:
        # Else it is as it was: on a full disk, running shares still get their heartbeats.
        try:
            ledger.save()
        except NodeStateError as error:
            # So do those that were pieced together, and the next start does it again.
            broken.append(str(error))
    return Recovered(lost or None, tuple(broken))


def _missing(loaded: Loaded, rebuilt: Mapping[ClaimUid, Entry]) -> str:
    # A claim's spec is written after its entry and removed before it. Also a start that was killed may have left it so:
    # after it set a damaged file aside, and before it wrote what it had pieced together.
    if not rebuilt:
        return ""
    what = "it is missing" if loaded.missing else f"it has no entry of claim {', '.join(sorted(rebuilt))}"
    return f"{what}, though claims are prepared on this node"


def _mend_all(effects: Effects, ledger: Ledger, boot_id: str) -> list[str]:
    broken: list[str] = []
    for entry in ledger.snapshot():
        if entry.state is State.COMPLETED:
            try:
                _mend(effects, entry, fresh=entry.boot_id != boot_id)
                ledger.put(replace(entry, boot_id=boot_id))
            except NodeStateError as error:
                # One claim's trouble must not keep the node from serving the others.
                broken.append(f"{entry.claim}: {error}")
    return broken


def _mend(effects: Effects, entry: Entry, *, fresh: bool) -> None:
    effects.library.ensure(entry.library)
    for share in entry.shares:
        effects.shares.ensure(share, fresh=fresh)
    effects.specs.write(entry)


def _remove_orphans(
    effects: Effects, ledger: Ledger, folders: dict[ShareId, Limits | None], *, trust_checkpoint: bool
) -> list[str]:
    entries = ledger.snapshot()
    claims = {entry.claim.uid for entry in entries}
    known = {share.share_id for entry in entries for share in entry.shares}
    removals = [
        *(partial(effects.specs.remove, uid) for uid in effects.specs.list() if uid not in claims),
        *(partial(effects.metadata.remove, uid) for uid in effects.metadata.list() if uid not in claims),
        *(
            partial(_remove_orphan, effects, ledger, share_id, folders[share_id], trust_checkpoint=trust_checkpoint)
            for share_id in sorted(folders.keys() - known)
        ),
        partial(_remove_libraries, effects, ledger),
    ]
    broken: list[str] = []
    for remove in removals:
        try:
            remove()
        except NodeStateError as error:
            # Somebody put it there, and it harms nobody.
            broken.append(str(error))
    return broken


def _remove_orphan(
    effects: Effects, ledger: Ledger, share_id: ShareId, limits: Limits | None, *, trust_checkpoint: bool
) -> None:
    alive = effects.processes.find(share_id)
    # A sound checkpoint names every share that kubelet was told of, so only a living process speaks against it.
    if alive is Alive.NO or (trust_checkpoint and alive is Alive.UNKNOWN):
        effects.shares.remove(share_id)
    elif limits is not None:
        ledger.add_stray(share_id, limits)


def _remove_libraries(effects: Effects, ledger: Ledger) -> None:
    # Which one a share without entry uses is not known.
    if not ledger.has_strays:
        effects.library.remove_unused(ledger.libraries())


def _rebuild(
    effects: Effects, folders: dict[ShareId, Limits | None], boot_id: str, *, known: Container[ClaimUid]
) -> dict[ClaimUid, Entry]:
    """Entries without name and request for the claims that are not known and whose specs and limits are still there.

    They keep their capacity booked and can be unprepared; prepare fills in the rest.
    """
    rebuilt: dict[ClaimUid, Entry] = {}
    for uid in effects.specs.list():
        if uid in known:
            continue
        limits = [folders.get(share_id) for share_id in effects.specs.find_shares(uid)]
        results = tuple(_rebuild_result(found) for found in limits if found is not None)
        if results:
            rebuilt[uid] = Entry(
                state=State.COMPLETED,
                boot_id=boot_id,
                claim=ClaimRef("", "", uid),
                results=results,
                library=effects.specs.find_library(uid),
            )
    return rebuilt


def _rebuild_result(limits: Limits) -> ShareResult:
    return ShareResult(
        request="",
        device=device_name(limits.uuid),
        uuid=limits.uuid,
        share_id=limits.share_id,
        memory_bytes=limits.memory_bytes,
        core_percent=limits.core_percent,
        core_limit=limits.core_limit,
        priority=limits.priority,
        admin_access=False,
        cdi_ids=cdi_ids(limits.share_id, limits.uuid),
    )
