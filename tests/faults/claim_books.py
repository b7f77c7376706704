"""What claims hold of every GPU, at each version of the cluster: was it ever more than there is?

The versions of one collection are in one order, so whoever applies every event of a watch sees each state that ever
was. Where a watch breaks off, the states until the next list are not seen.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hami_dra.api import names
from hami_dra.api.quantity import parse_quantity
from hami_dra.api.resources import JsonObject
from hami_dra.kube.cache import object_key
from hami_dra.kube.errors import KubeError
from hami_dra.kube.paths import CLAIMS, SLICES
from hami_dra.kube.transport import Client

_PAUSE_SECONDS = 0.2


class Gpu(NamedTuple):
    """A device of ours."""

    pool: str
    device: str


Amounts = Mapping[str, int]


class Books:
    """Sums by GPU, of one state after the other."""

    def __init__(self, capacities: Mapping[Gpu, Amounts]) -> None:
        self._capacities = capacities
        self._held: dict[str, dict[Gpu, list[Amounts]]] = {}
        self._holders: dict[Gpu, set[str]] = defaultdict(set)
        self.begun = 0
        """How many allocations were seen to begin."""

    def replace(self, claims: Iterable[JsonObject]) -> list[str]:
        """The state is exactly this; what is beyond capacity in it."""
        before = set(self._held)
        self._held.clear()
        self._holders.clear()
        touched = [gpu for claim in claims for gpu in self._put(claim)]
        self.begun += len(self._held.keys() - before)
        return self._beyond(touched)

    def put(self, claim: JsonObject) -> list[str]:
        """One claim changed; what it put beyond capacity."""
        held = self._drop(object_key(claim))
        touched = self._put(claim)
        self.begun += bool(touched) and not held
        return self._beyond(touched)

    def drop(self, claim: JsonObject) -> None:
        """One claim is gone."""
        self._drop(object_key(claim))

    def holders(self) -> int:
        """How many claims hold something."""
        return len(self._held)

    def _put(self, claim: JsonObject) -> list[Gpu]:
        held: dict[Gpu, list[Amounts]] = defaultdict(list)
        allocation = (claim.get("status") or {}).get("allocation") or {}
        for result in (allocation.get("devices") or {}).get("results") or ():
            if result["driver"] == names.DRIVER and not result.get("adminAccess"):
                amounts = {name: parse_quantity(text) for name, text in result["consumedCapacity"].items()}
                held[Gpu(result["pool"], result["device"])].append(amounts)
        if held:
            self._held[object_key(claim)] = held
        for gpu in held:
            self._holders[gpu].add(object_key(claim))
        return list(held)

    def _drop(self, key: str) -> bool:
        held = self._held.pop(key, {})
        for gpu in held:
            self._holders[gpu].discard(key)
        return bool(held)

    def _beyond(self, gpus: Iterable[Gpu]) -> list[str]:
        found = []
        for gpu in dict.fromkeys(gpus):
            sums: dict[str, int] = defaultdict(int)
            for holder in self._holders[gpu]:
                for amounts in self._held[holder][gpu]:
                    for name, amount in amounts.items():
                        sums[name] += amount
            there = self._capacities.get(gpu, {})
            found += [
                f"{gpu.pool}/{gpu.device}: {name} {amount} of {there.get(name, 0)}, held by "
                + ", ".join(sorted(self._holders[gpu]))
                for name, amount in sums.items()
                if amount > there.get(name, 0)
            ]
        return found


def capacities_of(slices: Iterable[JsonObject]) -> dict[Gpu, Amounts]:
    """What there is of every device of ours."""
    return {
        Gpu(slice_["spec"]["pool"]["name"], device["name"]): {
            name: parse_quantity(capacity["value"]) for name, capacity in device["capacity"].items()
        }
        for slice_ in slices
        if slice_["spec"]["driver"] == names.DRIVER
        for device in slice_["spec"].get("devices") or ()
    }


class BooksWatch:
    """Keeps the books from `start()` to `stop()`, of the GPUs that are published at the start."""

    def __init__(self, client: Client) -> None:
        self.beyond: list[str] = []
        """Everything that was ever beyond capacity, with the resourceVersion at which it began."""
        self.versions = 0
        """How many states were looked at."""
        self._client = client
        self._books = Books(capacities_of(client.list(SLICES).items))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="books", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns at once: the thread ends with its watch."""
        self._stopping.set()

    def holders(self) -> int:
        """How many claims are allocated."""
        return self._books.holders()

    def begun(self) -> int:
        """How many allocations have begun so far, those that ended since among them."""
        return self._books.begun

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except KubeError:
                self._stopping.wait(_PAUSE_SECONDS)

    def _follow(self) -> None:
        found = self._client.list(CLAIMS)
        self._note(found.resource_version, self._books.replace(found.items))
        for event in self._client.watch(CLAIMS, {"resourceVersion": found.resource_version}):
            if self._stopping.is_set():
                return
            if event.type == "DELETED":
                self._books.drop(event.object)
            elif event.type != "BOOKMARK":
                self._note(event.object["metadata"]["resourceVersion"], self._books.put(event.object))

    def _note(self, version: str, beyond: list[str]) -> None:
        self.versions += 1
        self.beyond += [f"at {version}: {line}" for line in beyond]
