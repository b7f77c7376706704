"""Reads and writes of ResourceClaims. Every write carries the resourceVersion of the claim it was decided on."""

from collections.abc import Sequence

from hami_dra.api.resources import AllocationResult, ConsumerReference, JsonObject
from hami_dra.kube.transport import Client


class Claims:
    """Claims as the API server has them. All methods raise KubeError; `claim` is the raw JSON that was read."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, namespace: str, name: str) -> JsonObject:
        """The claim now, not from a cache. Raises NotFound."""
        raise NotImplementedError

    def add_finalizer(self, claim: JsonObject) -> JsonObject:
        """The claim with delete protection; no request where it has it. Raises Conflict."""
        raise NotImplementedError

    def write_allocation(
        self, claim: JsonObject, allocation: AllocationResult, reserved_for: Sequence[ConsumerReference]
    ) -> JsonObject:
        """One status update with allocation and reservations; the stored claim.

        Raises Conflict (read again and re-check the finalizer), DroppedFields (it is stored, but not as sent).
        """
        raise NotImplementedError

    def clear_allocation(self, claim: JsonObject) -> JsonObject:
        """Take allocation and reservations back; the stored claim. Raises Conflict."""
        raise NotImplementedError

    def write_reserved_for(self, claim: JsonObject, reserved_for: Sequence[ConsumerReference]) -> JsonObject:
        """Replace the reservations of an allocated claim. Raises Conflict, DroppedFields."""
        raise NotImplementedError

    def update_device_statuses(
        self, namespace: str, name: str, uid: str, driver: str, entries: Sequence[JsonObject]
    ) -> JsonObject:
        """Replace the entries of `driver` in status.devices, others kept; re-reads and retries on conflict.

        Raises NotFound also where the claim of that name now has another uid.
        """
        raise NotImplementedError
