"""Many writes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from hami_dra.api.resources import JsonObject
from hami_dra.kube.errors import KubeError
from hami_dra.kube.transport import Client
from hollow.errors import WriteError

_WORKERS = 8


def all_done(writes: Iterable[tuple[str, Callable[[], object]]], workers: int = _WORKERS) -> None:
    """Do every write (each with a name), some at a time. Raises WriteError after all were tried."""

    def done(write: tuple[str, Callable[[], object]]) -> str:
        name, call = write
        try:
            call()
        except KubeError as error:
            return f"{name}: {error}"
        return ""

    with ThreadPoolExecutor(workers) as pool:
        failed = [reason for reason in pool.map(done, writes) if reason]
    if failed:
        raise WriteError(f"{len(failed)} writes failed, the first: {failed[0]}")


def create_all(client: Client, path: str, bodies: Sequence[JsonObject], workers: int = _WORKERS) -> None:
    """Create objects in one collection. Raises WriteError."""
    all_done([(f"{path}/{body['metadata']['name']}", partial(client.create, path, body)) for body in bodies], workers)
