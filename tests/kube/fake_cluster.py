"""The objects of a fake API server, their history and the ways in which tests make it misbehave."""

import copy
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

JsonObject = dict[str, Any]


class Refused(Exception):
    """A request that is answered with a metav1.Status."""

    def __init__(self, code: int, reason: str, message: str = "refused by the fake", retry_after: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.retry_after = retry_after

    def status(self) -> JsonObject:
        """The body of the answer."""
        return {"kind": "Status", "status": "Failure", "code": self.code, "reason": self.reason, "message": str(self)}


@dataclass(frozen=True)
class Request:
    """One request as it came in; `verb` is Kubernetes' (get, list, watch, create, update, patch, delete)."""

    verb: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any = None


@dataclass
class Fault:
    """The next `times` requests of that verb whose path contains `path` are refused, or cut off for code 0."""

    refusal: Refused
    verb: str = ""
    path: str = ""
    times: int = 1

    def hits(self, request: Request) -> bool:
        """Whether the request is refused; counts down."""
        hit = self.times > 0 and self.verb in ("", request.verb) and self.path in request.path
        self.times -= hit
        return hit


@dataclass(frozen=True)
class Address:
    """What a path means."""

    collection: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True)
class Entry:
    """One change in the history of all collections."""

    version: int
    collection: str
    type: str
    object: JsonObject


@dataclass
class Cluster:
    """The objects, their history and the tests' levers. Everything happens under `changed`."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    objects: dict[str, dict[tuple[str, str], JsonObject]] = field(default_factory=dict)
    history: list[Entry] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    on_write: Callable[[JsonObject], JsonObject] = lambda item: item
    version: int = 100
    compacted: int = 0
    pages_expired: bool = False
    watch_epoch: int = 0
    epoch_ended_at: int = 0
    open_watches: int = 0

    def record(self, request: Request) -> None:
        """Note a request and apply faults."""
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
            for fault in self.faults:
                if fault.hits(request):
                    raise fault.refusal
            if address_of(request.path).collection in self.missing:
                raise Refused(404, "NotFound", "the server could not find the requested resource")

    def put(self, collection: str, item: JsonObject, kind: str) -> JsonObject:
        """Store a state of an object and tell watchers."""
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        key = (item["metadata"].get("namespace", ""), item["metadata"]["name"])
        if kind == "DELETED":
            self.objects[collection].pop(key)
        else:
            self.objects.setdefault(collection, {})[key] = item
        self.history.append(Entry(self.version, collection, kind, copy.deepcopy(item)))
        self.changed.notify_all()
        return item

    def find(self, address: Address) -> JsonObject:
        """The stored object, or 404."""
        found = self.objects.get(address.collection, {}).get((address.namespace, address.name))
        if found is None:
            raise Refused(404, "NotFound", f"{address.name} not found")
        return found

    def page(self, address: Address, query: dict[str, str]) -> JsonObject:
        """A list, or the part of it that limit and continue ask for."""
        stored = self.objects.get(address.collection, {})
        items = [item for (namespace, _), item in sorted(stored.items()) if address.namespace in ("", namespace)]
        items = [item for item in items if selected(item, query.get("fieldSelector", ""))]
        start = int(query.get("continue") or 0)
        if start and self.pages_expired:
            raise Refused(410, "Expired", "the provided continue parameter is too old")
        end = start + int(query.get("limit") or len(items) or 1)
        metadata = {"resourceVersion": str(self.version)}
        if end < len(items):
            metadata["continue"] = str(end)
        return {"kind": "List", "metadata": metadata, "items": copy.deepcopy(items[start:end])}

    def create(self, address: Address, body: JsonObject, *, dry_run: bool = False) -> JsonObject:
        """Store a new object, or only say what would be stored."""
        metadata = body["metadata"]
        if not metadata.get("name"):
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        namespace = metadata.get("namespace", address.namespace)
        if (namespace, metadata["name"]) in self.objects.get(address.collection, {}):
            raise Refused(409, "AlreadyExists", f"{metadata['name']} already exists")
        if namespace:
            metadata["namespace"] = namespace
        metadata.update(uid=metadata.get("uid") or str(uuid.uuid4()), creationTimestamp="2026-01-01T00:00:00Z")
        metadata["managedFields"] = [{"manager": "fake"}]
        wanted = self.on_write(body)
        return wanted if dry_run else self.put(address.collection, wanted, "ADDED")

    def update(self, address: Address, body: JsonObject) -> JsonObject:
        """Replace an object, or only its status."""
        stored = self.find(address)
        wanted, found = body["metadata"].get("resourceVersion", ""), stored["metadata"]["resourceVersion"]
        if wanted not in ("", found):
            raise Refused(409, "Conflict", "the object has been modified")
        if address.subresource == "status":
            body = {**stored, "status": body.get("status") or {}}
        elif "status" in stored:
            body = {**body, "status": stored["status"]}
        body = {**body, "metadata": {**stored["metadata"], **body["metadata"]}}
        return self.put(address.collection, self.on_write(copy.deepcopy(body)), "MODIFIED")

    def patch(self, address: Address, body: JsonObject) -> JsonObject:
        """Merge into an object."""
        stored = self.find(address)
        wanted, found = body.get("metadata", {}).get("resourceVersion", ""), stored["metadata"]["resourceVersion"]
        if wanted not in ("", found):
            raise Refused(409, "Conflict", "the object has been modified")
        return self.put(address.collection, self.on_write(_merged(stored, body)), "MODIFIED")

    def delete(self, address: Address, body: JsonObject | None) -> JsonObject:
        """Remove an object, under preconditions."""
        stored = copy.deepcopy(self.find(address))
        for key, wanted in ((body or {}).get("preconditions") or {}).items():
            if stored["metadata"][key] != wanted:
                raise Refused(409, "Conflict", f"precondition {key} failed")
        return self.put(address.collection, stored, "DELETED")


def address_of(path: str) -> Address:
    """`/apis/group/version/namespaces/ns/plural/name/subresource` and its shorter forms."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    size = 2 if parts[0] == "api" else 3
    group, rest = "/".join(parts[:size]), parts[size:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = [*rest, "", ""][:3]
    return Address(f"{group}/{plural}", namespace, name, subresource)


def selected(item: JsonObject, selector: str) -> bool:
    for term in filter(None, selector.split(",")):
        path, _, wanted = term.partition("=")
        found: Any = item
        for step in path.split("."):
            found = found.get(step, "") if isinstance(found, dict) else ""
        if found != wanted:
            return False
    return True


def _merged(base: Any, patch: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(patch, dict):
        return copy.deepcopy(patch)
    kept = {key: value for key, value in base.items() if key not in patch or patch[key] is not None}
    return {**kept, **{key: _merged(base.get(key), value) for key, value in patch.items() if value is not None}}
