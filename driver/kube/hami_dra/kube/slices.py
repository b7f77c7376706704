"""The ResourceSlices that one driver publishes for one node."""

from hami_dra.api.resources import JsonObject, Slice
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
        raise NotImplementedError

    def list(self) -> tuple[JsonObject, ...]:
        """The slices as stored."""
        raise NotImplementedError

    def create(self, wanted: Slice) -> JsonObject:
        """The stored slice. Raises DroppedFields (it is stored, but not as sent), AlreadyExists."""
        raise NotImplementedError

    def update(self, wanted: Slice) -> JsonObject:
        """The stored slice; `wanted.metadata` has name and resourceVersion. Raises Conflict, DroppedFields."""
        raise NotImplementedError

    def delete(self, name: str, *, uid: str = "") -> None:
        """Delete it; no error where it is gone already."""
        raise NotImplementedError
