"""Writes to an API server that may be down just now: tried until they are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from hami_dra.api.resources import JsonObject
from hami_dra.kube.errors import AlreadyExists, Conflict, NotFound, Unavailable
from hami_dra.kube.transport import Client
from testbed.waiting import until

_SECONDS = 120.0


def patiently(write: Callable[[], object]) -> None:
    """Write until it is done or need not be done any more. Raises KubeError where it never will be.

    A write of what was read before is tried again where somebody else came in between: also one who was stopped then.
    """

    def done() -> bool:
        try:
            write()
        except (Unavailable, Conflict):
            return False
        except NotFound:
            return True
        return True

    until(done, "the API server takes a write", timeout=_SECONDS)


def all_patiently(writes: Sequence[Callable[[], object]], workers: int = 4) -> None:
    """Each of these, some at a time."""
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(patiently, writes))


def create(client: Client, path: str, body: JsonObject) -> JsonObject:
    """Create it where it is not there yet; the answer, or what was to be created. Raises KubeError."""
    try:
        return client.create(path, body)
    except AlreadyExists:
        return body
