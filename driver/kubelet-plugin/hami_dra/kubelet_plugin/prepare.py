"""Prepare and unprepare one claim: reserve in the checkpoint, write files, record that it is done.

Every step may be repeated. A crash leaves an entry that is STARTED, whose files
the next call writes again or unprepare removes. One call at a time, also where two
plugin processes serve during an update.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

from hami_dra.api.errors import ApiError
from hami_dra.api.names import ClaimUid
from hami_dra.api.resources import Claim
from hami_dra.kube.errors import KubeError
from hami_dra.kubelet_plugin.devices import compute_attributes, compute_capacities
from hami_dra.kubelet_plugin.effects import Effects
from hami_dra.kubelet_plugin.entries import Entry, State
from hami_dra.kubelet_plugin.errors import ClaimRefused, DriverUnavailable, NodeStateError, OverCapacity
from hami_dra.kubelet_plugin.inventory import Inventory
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.prepare_plan import NodeFacts, is_allocation_of, plan_entry
from hami_dra.kubelet_plugin.processes import Alive
from hami_dra.kubelet_plugin.sums import Booking, Overload, bookings_of, find_overload


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    """What does not change while the plugin runs."""

    node_name: str
    boot_id: str
    shares_per_gpu: int
    cdi_folders: str
    how_to_base: Callable[[], str]
    """What to do, or what went wrong, where a GPU has no base device."""


class Preparer:
    """The node's claims. `inventory` answers what the node has now; it raises DriverUnavailable."""

    def __init__(
        self, effects: Effects, ledger: Ledger, options: PrepareOptions, inventory: Callable[[], Inventory]
    ) -> None:
        self._effects = effects
        self._ledger = ledger
        self._options = options
        self._inventory = inventory

    def prepare(self, claim: Claim) -> Entry:
        """Make the claim's shares real and return its completed entry; the same one when asked again.

        Raises:
            ClaimError: this claim cannot be served here, or its GPU is booked by others.
            NodeStateError: a file could not be written; what was begun is taken back.
            DriverUnavailable, ShareConfigError.
        """
        with self._effects.lock.hold():
            self._ledger.refresh()
            held = self._ledger.get(claim.uid)
            if held and is_allocation_of(held, claim):
                return self._complete(held, fresh=self._is_stale(held))
            return self._prepare_new(claim, held)

    def unprepare(self, uid: ClaimUid) -> None:
        """Take everything of the claim from the node; an unknown claim is none.

        Raises:
            NodeStateError: a file could not be removed; asking again goes on from there.
        """
        with self._effects.lock.hold():
            self._ledger.refresh()
            self._undo(uid)

    def collect(self, orphan: Entry) -> bool:
        """Take an orphan from the node; False where it was prepared anew, or taken away, since it was looked at.

        Raises:
            NodeStateError: a file could not be removed; asking again goes on from there.
        """
        with self._effects.lock.hold():
            self._ledger.refresh()
            is_same = self._ledger.get(orphan.claim.uid) == orphan
            if is_same:
                self._undo(orphan.claim.uid)
            return is_same

    def mend(self, uid: ClaimUid) -> None:
        """Write the files of a prepared claim again; what is there stays as it is. Raises NodeStateError."""
        with self._effects.lock.hold():
            self._ledger.refresh()
            entry = self._ledger.get(uid)
            if entry and entry.state is State.COMPLETED:
                self._complete(entry, fresh=False)

    def refresh(self) -> None:
        """Take in what another plugin process prepared, as happens during an update; a failure shows at a call."""
        with contextlib.suppress(NodeStateError):
            if self._effects.checkpoint.has_changed():
                with self._effects.lock.hold():
                    self._ledger.refresh()

    def _prepare_new(self, claim: Claim, held: Entry | None) -> Entry:
        inventory = self._inventory()
        entry = plan_entry(claim, self._facts(inventory), self._effects.library.version())
        rebuilt = _has_same_shares(held, entry) if held else self._ledger.has_stray_of(entry)
        if rebuilt:
            entry = _as_running(entry, held)
        elif held:
            self._give_up(held)
        self._check_bases(entry)
        self._check_sums(entry, inventory)
        try:
            return self._complete(entry, fresh=not rebuilt)
        except NodeStateError:
            if not rebuilt:
                # Why it could not be written is told, not that it cannot be removed either; the next call goes on.
                with contextlib.suppress(NodeStateError):
                    self._undo(entry.claim.uid)
            raise

    def _complete(self, entry: Entry, *, fresh: bool) -> Entry:
        effects = self._effects
        if entry.state is State.STARTED:
            self._ledger.put(entry)
        effects.library.ensure(entry.library)
        for share in entry.shares:
            effects.shares.ensure(share, fresh=fresh)
        self._tell(entry)
        effects.specs.write(entry)
        completed = dataclasses.replace(entry, state=State.COMPLETED, boot_id=self._options.boot_id)
        self._ledger.put(completed)
        return completed

    def _tell(self, entry: Entry) -> None:
        """Have what the claim's containers are told of their devices; it never changes while they run."""
        if self._effects.metadata.has(entry):
            return
        try:
            attributes = compute_attributes(self._inventory())
        except DriverUnavailable:
            # Only where it vanished: nothing new is prepared without a driver.
            attributes = {}
        self._effects.metadata.write(entry, attributes)

    def _undo(self, uid: ClaimUid) -> None:
        effects = self._effects
        entry = self._ledger.get(uid)
        if entry is None:
            # Only its spec knows the shares of a claim whose entry was lost, so the spec goes last.
            for share_id in effects.specs.find_shares(uid):
                effects.shares.remove(share_id)
                self._ledger.drop_stray(share_id)
            effects.metadata.remove(uid)
            effects.specs.remove(uid)
            return
        # The spec first: no container may start with mounts whose files are going.
        effects.specs.remove(uid)
        for share in entry.shares:
            effects.shares.remove(share.share_id)
            self._ledger.drop_stray(share.share_id)
        effects.metadata.remove(uid)
        self._ledger.drop(uid)
        if entry.library not in self._ledger.libraries() and not self._ledger.has_strays:
            effects.library.remove_unused(self._ledger.libraries())

    def _give_up(self, held: Entry) -> None:
        """Remove what an earlier allocation of this very claim left, unless somebody still runs on it."""
        alive = [share.share_id for share in held.shares if self._effects.processes.find(share.share_id) is Alive.YES]
        if alive:
            raise ClaimRefused(f"the claim was allocated anew while processes still use its share {', '.join(alive)}")
        self._undo(held.claim.uid)

    def _check_bases(self, entry: Entry) -> None:
        for result in entry.results:
            if not self._effects.specs.has_base(result.uuid):
                raise ClaimRefused(
                    f"no CDI spec in {self._options.cdi_folders} defines {result.cdi_ids[-1]}, the access to GPU "
                    f"{result.uuid}; {self._options.how_to_base()}"
                )

    def _check_sums(self, entry: Entry, inventory: Inventory) -> None:
        capacities = compute_capacities(inventory, shares_per_gpu=self._options.shares_per_gpu)
        while overload := find_overload(capacities, self._ledger.bookings(but=entry.claim.uid), bookings_of(entry)):
            try:
                freed = self._free_one(overload)
            except KubeError as error:
                # All other claims of the node wait meanwhile: who does not answer is not asked about the next one.
                raise OverCapacity(f"{overload}; whether these still are allocated is not known: {error}") from error
            if not freed:
                raise OverCapacity(str(overload))

    def _free_one(self, overload: Overload) -> bool:
        """Take away what is in the way, has no process and nobody can come back to; False where there is nothing.

        Raises:
            KubeError: the API server did not say whether a claim is there.
        """
        for booking in overload.in_the_way:
            if self._effects.processes.find(booking.share_id) is not Alive.NO or not self._is_forgotten(booking):
                continue
            if booking.claim:
                self._undo(booking.claim.uid)
            else:
                self._effects.shares.remove(booking.share_id)
                self._ledger.drop_stray(booking.share_id)
            return True
        return False

    def _is_forgotten(self, booking: Booking) -> bool:
        if booking.claim is None:
            # No spec names the share any more, so no container can begin with it.
            return True
        if not booking.claim.name:
            # Its name was lost with the checkpoint, so nobody can be asked about it.
            return False
        try:
            claim = self._effects.claims.read(booking.claim)
        except ApiError:
            return False
        held = self._ledger.get(booking.claim.uid)
        return held is not None and (claim is None or not is_allocation_of(held, claim))

    def _facts(self, inventory: Inventory) -> NodeFacts:
        return NodeFacts(
            node_name=self._options.node_name,
            uuids=inventory.uuids,
            missing=inventory.missing,
            boot_id=self._options.boot_id,
        )

    def _is_stale(self, entry: Entry) -> bool:
        # Nobody runs on an entry that was never completed, or that is from before a reboot.
        return entry.state is State.STARTED or entry.boot_id != self._options.boot_id


def _as_running(planned: Entry, held: Entry | None) -> Entry:
    """The entry of shares that containers may use; `held` is what was pieced together of it."""
    # Begun anew, they would be fed by nobody if we died now, and emptied at the next call.
    if held is None:
        return dataclasses.replace(planned, state=State.COMPLETED)
    return dataclasses.replace(planned, library=held.library, state=held.state, boot_id=held.boot_id)


def _has_same_shares(held: Entry, planned: Entry) -> bool:
    return [share.share_id for share in held.shares] == [share.share_id for share in planned.shares]
