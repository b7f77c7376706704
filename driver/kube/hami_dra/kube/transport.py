"""HTTP to the API server, through kubernetes' ApiClient for TLS, credentials and their renewal.

Raw JSON only: the typed models and the `*Api` classes cost 60 MiB and more.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from hami_dra.api.resources import JsonObject

PAGE_LIMIT: Final = 500
MERGE_PATCH: Final = "application/merge-patch+json"

Params = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A consistent list and the resourceVersion to watch from."""

    items: tuple[JsonObject, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; an ERROR never comes out of a stream, it is raised."""

    type: str
    object: JsonObject


class WatchStream:
    """An open watch: iterate once; `close()` from any thread ends the iteration at once."""

    def __iter__(self) -> Iterator[WatchEvent]:
        """Events until the server ends the stream. Raises Gone, Unavailable, other KubeError."""
        raise NotImplementedError

    def close(self) -> None:
        """End the stream."""
        raise NotImplementedError


class Client:
    """Requests to one API server; thread-safe. Every method raises the errors of `kube.errors`."""

    def get(self, path: str, params: Params | None = None) -> JsonObject:
        """One object."""
        raise NotImplementedError

    def list(self, path: str, params: Params | None = None, *, limit: int = PAGE_LIMIT) -> ObjectList:
        """All objects, read in pages of `limit`, without managedFields. Raises Gone when the pages expired."""
        raise NotImplementedError

    def create(self, path: str, body: JsonObject) -> JsonObject:
        """POST to a collection; the stored object. Raises AlreadyExists."""
        raise NotImplementedError

    def update(self, path: str, body: JsonObject) -> JsonObject:
        """PUT; with metadata.resourceVersion in `body` a Conflict is raised if the object changed since."""
        raise NotImplementedError

    def patch(self, path: str, body: JsonObject, *, content_type: str = MERGE_PATCH) -> JsonObject:
        """PATCH; the stored object."""
        raise NotImplementedError

    def delete(self, path: str, *, uid: str = "", resource_version: str = "") -> None:
        """DELETE, only the object with that uid and version where given (else Conflict). Raises NotFound."""
        raise NotImplementedError

    def watch(self, path: str, params: Params) -> WatchStream:
        """Open a watch from params["resourceVersion"]. Raises Gone."""
        raise NotImplementedError

    def close(self) -> None:
        """Close pooled connections."""
        raise NotImplementedError


def connect(kubeconfig: str | None = None) -> Client:
    """A client for the named kubeconfig, else the pod's service account, else $KUBECONFIG or its default place.

    Reads files, opens no connection. Raises NotConfigured.
    """
    raise NotImplementedError
