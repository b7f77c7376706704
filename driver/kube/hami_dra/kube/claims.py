"""Reads and writes of ResourceClaims. Every write carries the resourceVersion of the claim it was decided on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from hami_dra.api.names import DELETE_PROTECTION_FINALIZER, OUTDATED_ANNOTATION
from hami_dra.api.resources import API_VERSION, AllocationResult, ConsumerReference, JsonObject
from hami_dra.kube import times
from hami_dra.kube.errors import Conflict, DroppedFields, Invalid, NotFound, UnexpectedReply
from hami_dra.kube.paths import CLAIM_TEMPLATES, CLAIMS, namespaced
from hami_dra.kube.replies import dropped_fields
from hami_dra.kube.transport import Client, Transform

_ATTEMPTS: Final = 5


class Claims:
    """Claims as the API server has them. All methods raise KubeError.

    `claim` is the raw JSON that was read, complete: what a transform took out of its metadata would be deleted.
    """

    def __init__(self, client: Client, clock: times.Clock = times.now) -> None:
        self._client = client
        self._clock = clock

    def get(self, namespace: str, name: str, *, transform: Transform | None = None) -> JsonObject:
        """The claim now, not from a cache; what `transform` leaves of it. Raises NotFound."""
        return self._client.get(namespaced(CLAIMS, namespace, name), transform=transform)

    def get_template(self, namespace: str, name: str) -> JsonObject:
        """A ResourceClaimTemplate. Raises NotFound."""
        return self._client.get(namespaced(CLAIM_TEMPLATES, namespace, name))

    def add_finalizer(self, claim: JsonObject) -> JsonObject:
        """The claim with delete protection; no request where it has it. Raises Conflict."""
        metadata = claim["metadata"]
        finalizers = metadata.get("finalizers") or []
        if DELETE_PROTECTION_FINALIZER in finalizers:
            return claim
        # A patch, for an update would send the spec: opaque parameters are compared byte by byte, so JSON that is
        # spaced or escaped in another way than Go's counts as a change of an immutable field.
        changed = {
            "resourceVersion": metadata["resourceVersion"],
            "finalizers": [*finalizers, DELETE_PROTECTION_FINALIZER],
        }
        return self._client.patch(_path(claim), {"metadata": changed})

    def write_allocation(
        self, claim: JsonObject, allocation: AllocationResult, reserved_for: Sequence[ConsumerReference]
    ) -> JsonObject:
        """One status update with allocation and reservations; the stored claim.

        Sets the allocation timestamp where it is not given. Raises Conflict (read again and re-check the
        finalizer), DroppedFields (it is stored, but not as sent).
        """
        if allocation.allocation_timestamp is None:
            allocation = replace(allocation, allocation_timestamp=times.timestamp(self._clock()))
        wanted = {"allocation": allocation.to_json(), "reservedFor": [consumer.to_json() for consumer in reserved_for]}
        return self._write_status(claim, wanted)

    def clear_allocation(self, claim: JsonObject) -> JsonObject:
        """Take allocation and reservations back; the stored claim. Raises Conflict."""
        # The API server refuses one without the other, and device statuses end with the allocation.
        return self._write_status(claim, {}, without=("allocation", "reservedFor", "devices"))

    def outdate(self, claim: JsonObject) -> JsonObject:
        """The claim under a new version, so that no write that was sent before can succeed. Raises Conflict."""
        # A status that says the same as before would not be stored anew.
        version = claim["metadata"]["resourceVersion"]
        changed = {"resourceVersion": version, "annotations": {OUTDATED_ANNOTATION: version}}
        return self._client.patch(_path(claim), {"metadata": changed})

    def update_device_statuses(
        self, namespace: str, name: str, uid: str, driver: str, entries: Sequence[JsonObject]
    ) -> JsonObject:
        """Replace the entries of `driver` in status.devices, others kept; re-reads and retries on conflict.

        A claim that is not allocated any more is left as it is, for the API server would refuse the entries.
        Raises NotFound also where the claim of that name now has another uid, Conflict after five attempts.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            claim = self.get(namespace, name)
            if claim["metadata"]["uid"] != uid:
                found = claim["metadata"]["uid"]
                raise NotFound(f"ResourceClaim {namespace}/{name}: found uid {found}, wanted {uid}")
            status = claim.get("status") or {}
            current = status.get("devices") or []
            wanted = [*(entry for entry in current if entry["driver"] != driver), *entries]
            if "allocation" not in status or wanted == current:
                return claim
            try:
                return self._write_devices(claim, wanted)
            except Conflict:
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _write_devices(self, claim: JsonObject, devices: Sequence[JsonObject]) -> JsonObject:
        try:
            return self._write_status(claim, {"devices": devices})
        except Invalid:
            # An update sends the allocation too, and opaque parameters in it are compared byte by byte: those that
            # kube-scheduler wrote have no spaces. In a patch the API server writes them itself, without any:
            # ours have some.
            wanted = {"devices": devices}
            body = {"metadata": {"resourceVersion": claim["metadata"]["resourceVersion"]}, "status": wanted}
            return _checked(claim, wanted, self._client.patch(_path(claim, "status"), body))

    def _write_status(self, claim: JsonObject, wanted: JsonObject, without: Sequence[str] = ()) -> JsonObject:
        kept = {key: value for key, value in (claim.get("status") or {}).items() if key not in without}
        body = _typed({**claim, "status": {**kept, **wanted}})
        return _checked(claim, wanted, self._client.update(_path(claim, "status"), body))


def _checked(claim: JsonObject, wanted: JsonObject, stored: JsonObject) -> JsonObject:
    """What was stored, if it has all of the status that was wanted; raises DroppedFields, UnexpectedReply."""
    if (stored.get("metadata") or {}).get("uid") != claim["metadata"].get("uid"):
        # Whoever said so is no API server: what became of the write is not known.
        raise UnexpectedReply(f"PUT {_path(claim, 'status')}: the reply is not that claim")
    dropped = dropped_fields(wanted, stored.get("status") or {})
    if dropped:
        metadata = claim["metadata"]
        what = f"ResourceClaim {metadata['namespace']}/{metadata['name']} status"
        raise DroppedFields(what, dropped, stored)
    return stored


def _path(claim: JsonObject, subresource: str = "") -> str:
    return namespaced(CLAIMS, claim["metadata"]["namespace"], claim["metadata"]["name"], subresource)


def _typed(claim: JsonObject) -> JsonObject:
    # Items of a list come without their type.
    return {"apiVersion": API_VERSION, "kind": "ResourceClaim", **claim}
