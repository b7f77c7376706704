"""What the watches hand on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from controller_objects import pod_json

from hami_dra.controller.observer import Observed
from hami_dra.controller.watches import make_reflectors
from hami_dra.kube.errors import Unavailable
from hami_dra.kube.paths import PODS
from hami_dra.kube.transport import ObjectList


class Listing:
    """A client that lists some pods and nothing else."""

    def __init__(self, pods: list[Any]) -> None:
        self._pods = pods

    def pages(self, path: str, *_: Any, transform: Any, **__: Any) -> Iterator[ObjectList]:
        found = self._pods if path == PODS else []
        yield ObjectList(tuple(transform(item) if transform else item for item in found), "1")

    def watch(self, *_: Any) -> Any:
        raise Unavailable("not here")


def test_an_object_that_cannot_be_shrunk_is_handed_on_as_it_is() -> None:
    """Whoever reads it next says so, of this one; the watch of all others goes on."""
    odd = pod_json("odd", status={"containerStatuses": [{"resources": {}}]})
    client: Any = Listing([odd, pod_json("plain")])
    seen, errors = list[Observed](), list[Exception]()
    reflectors = make_reflectors(client, seen.append, on_synced=lambda: None, on_fatal=errors.append)
    for reflector in reflectors:
        reflector.start()
    synced = [reflector.wait_synced(5) for reflector in reflectors]
    for reflector in reflectors:
        reflector.stop()
    assert errors == []
    assert all(synced)
    assert [observed.object["metadata"]["name"] for observed in seen] == ["odd", "plain"]
    assert seen[0].object == odd
