"""The ResourceSlices that one driver publishes for one node."""

from hami_dra.api.resources import JsonObject, Slice
from hami_dra.kube.errors import DroppedFields, NotFound
from hami_dra.kube.paths import SLICES, named
from hami_dra.kube.replies import dropped_fields
from hami_dra.kube.transport import Client


class Slices:
    """Slices of `driver` on `node_name`. All methods raise KubeError."""

    def __init__(self, client: Client, *, node_name: str, driver: str) -> None:
        self._client = client
        self._node_name = node_name
        self._driver = driver

    @property
    def params(self) -> dict[str, str]:
        """Query parameters that select these slices, for a Reflector."""
        return {"fieldSelector": f"spec.nodeName={self._node_name},spec.driver={self._driver}"}

    def list(self) -> tuple[JsonObject, ...]:
        """The slices as stored."""
        return self._client.list(SLICES, self.params).items

    def create(self, wanted: Slice) -> JsonObject:
        """The stored slice. Raises DroppedFields (it is stored, but not as sent), AlreadyExists."""
        return _compared(wanted, self._client.create(SLICES, wanted.to_json()))

    def probe(self, wanted: Slice) -> None:
        """Ask what would be stored of a new slice; nothing is. Raises DroppedFields, AlreadyExists."""
        _compared(wanted, self._client.create(SLICES, wanted.to_json(), {"dryRun": "All"}))

    def update(self, wanted: Slice) -> JsonObject:
        """The stored slice; `wanted.metadata` has name and resourceVersion. Raises Conflict, DroppedFields."""
        return _compared(wanted, self._client.update(named(SLICES, wanted.metadata.name), wanted.to_json()))

    def delete(self, name: str, *, uid: str = "") -> None:
        """Delete it; no error where it is gone already."""
        try:
            self._client.delete(named(SLICES, name), uid=uid)
        except NotFound:
            return


def _compared(wanted: Slice, stored: JsonObject) -> JsonObject:
    dropped = dropped_fields({"spec": wanted.to_json()["spec"]}, stored)
    if dropped:
        raise DroppedFields(f"ResourceSlice {stored['metadata']['name']}", dropped, stored)
    return stored
