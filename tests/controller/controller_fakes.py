"""A cluster in memory at the controller's own interfaces: claims, Events, pods, time, leadership."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from controller_objects import class_json, node_json, slice_json
from prometheus_client.parser import text_string_to_metric_families

from hami_dra.api.resources import AllocationResult, ConsumerReference, JsonObject
from hami_dra.controller.asks import Matcher
from hami_dra.controller.cel import CelMatcher
from hami_dra.controller.left_out import LeftOut
from hami_dra.controller.loop import Loop
from hami_dra.controller.metrics import Metrics
from hami_dra.controller.observer import Observed, Observer
from hami_dra.controller.pinning import pin_terms
from hami_dra.controller.placer import Placer
from hami_dra.controller.plan import Policy
from hami_dra.controller.pods import Pod
from hami_dra.controller.reporter import Reporter
from hami_dra.controller.sending import InTurn, Sender
from hami_dra.controller.state import State
from hami_dra.controller.tender import Tender
from hami_dra.controller.tools import Tools
from hami_dra.controller.world import Kind, World
from hami_dra.controller.writer import Writer
from hami_dra.kube.errors import Conflict, KubeError, NotFound, Unavailable
from hami_dra.kube.events import EventType, ObjectReference

FINALIZER = "resource.kubernetes.io/delete-protection"
GATE = "gpu.hami.io/allocation"
MATCHES = CelMatcher()


class FakeClock:
    """Time that moves only when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def utcnow(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


class Late:
    """A fault: there is no answer, and the write reaches the API server later."""


class FakeClaims:
    """The API server's claims with resourceVersions; ``faults`` are raised by the next writes, in order.

    A fault that is a pair (error, True) is raised after the write was stored; what ended in ``Late`` arrives with
    ``arrive``. ``unread`` is raised by the next reads.
    """

    def __init__(self) -> None:
        self.stored: dict[str, JsonObject] = {}
        self.faults: list[KubeError | tuple[KubeError, bool] | Late | None] = []
        self.templates: dict[str, JsonObject] = {}
        self.unread: list[KubeError] = []
        self.reads = 0
        self.writes: list[tuple[str, str]] = []
        self.on_write: Callable[[], None] = lambda: None
        self.version = 100
        self._late: list[tuple[JsonObject, JsonObject]] = []

    def put(self, claim: JsonObject) -> JsonObject:
        """Store from outside."""
        self.version += 1
        stored = copy.deepcopy(claim)
        stored["metadata"]["resourceVersion"] = str(self.version)
        self.stored[f"{stored['metadata']['namespace']}/{stored['metadata']['name']}"] = stored
        return copy.deepcopy(stored)

    def get(self, namespace: str, name: str) -> JsonObject:
        self.reads += 1
        if self.unread:
            raise self.unread.pop(0)
        if f"{namespace}/{name}" not in self.stored:
            raise NotFound(f"{namespace}/{name}")
        return copy.deepcopy(self.stored[f"{namespace}/{name}"])

    def get_template(self, namespace: str, name: str) -> JsonObject:
        if f"{namespace}/{name}" not in self.templates:
            raise NotFound(f"{namespace}/{name}")
        return copy.deepcopy(self.templates[f"{namespace}/{name}"])

    def add_finalizer(self, claim: JsonObject) -> JsonObject:
        if FINALIZER in claim["metadata"].get("finalizers", ()):
            return claim
        changed = copy.deepcopy(claim)
        changed["metadata"]["finalizers"] = [FINALIZER]
        return self._write("finalizer", claim, changed)

    def write_allocation(
        self, claim: JsonObject, allocation: AllocationResult, reserved_for: Sequence[ConsumerReference]
    ) -> JsonObject:
        changed = copy.deepcopy(claim)
        status = {"allocation": allocation.to_json(), "reservedFor": [one.to_json() for one in reserved_for]}
        changed["status"] = {**changed.get("status", {}), **status}
        return self._write("allocate", claim, changed)

    def clear_allocation(self, claim: JsonObject) -> JsonObject:
        changed = copy.deepcopy(claim)
        changed["status"] = {}
        return self._write("clear", claim, changed)

    def outdate(self, claim: JsonObject) -> JsonObject:
        changed = copy.deepcopy(claim)
        changed["metadata"].setdefault("annotations", {})["outdated"] = claim["metadata"]["resourceVersion"]
        return self._write("outdate", claim, changed)

    def _write(self, verb: str, read: JsonObject, changed: JsonObject) -> JsonObject:
        key = f"{read['metadata']['namespace']}/{read['metadata']['name']}"
        self.writes.append((verb, key))
        self.on_write()
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Late):
            self._late.append((read, changed))
            raise Unavailable("timeout")
        if isinstance(fault, KubeError):
            raise fault
        stored = self._store(read, changed)
        if fault is not None:
            raise fault[0]
        return stored

    def _store(self, read: JsonObject, changed: JsonObject) -> JsonObject:
        key = f"{read['metadata']['namespace']}/{read['metadata']['name']}"
        if key not in self.stored:
            raise NotFound(key)
        if self.stored[key]["metadata"]["resourceVersion"] != read["metadata"]["resourceVersion"]:
            raise Conflict(key)
        return self.put(changed)

    def arrive(self) -> list[JsonObject]:
        """Let the late writes reach the API server; what was stored of them."""
        stored = list[JsonObject]()
        while self._late:
            with contextlib.suppress(Conflict, NotFound):
                stored.append(self._store(*self._late.pop(0)))
        return stored


class FakePods:
    """The API server's pods; ``faults`` are raised by the next writes, in order, None for a write that succeeds."""

    def __init__(self) -> None:
        self.stored: dict[str, JsonObject] = {}
        self.changes: list[tuple[JsonObject, bool]] = []
        """Objects as our own writes left them and whether they are gone, for the watch to report."""
        self.nudged: list[str] = []
        self.reads = 0
        self.writes: list[tuple[str, str]] = []
        self.faults: list[KubeError | None] = []

    def read(self, namespace: str, name: str) -> Pod | None:
        self.reads += 1
        raw = self.stored.get(f"{namespace}/{name}")
        return Pod.from_json(raw) if raw else None

    def nudge(self, pod: Pod, message: str) -> JsonObject:
        self.nudged.append(f"{pod.name}: {message}")
        return {}

    def release(self, pod: Pod, node: str | None) -> JsonObject:
        changed = self._begin("release" if node is None else "pin", pod)
        spec = changed["spec"]
        spec["schedulingGates"] = [gate for gate in spec.get("schedulingGates", ()) if gate["name"] != GATE]
        if node is not None:
            changed["metadata"]["annotations"] = {"gpu.hami.io/pinned-to": node}
            affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
            affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": pin_terms(pod, node)}
        return self._store(changed)

    def mark_disrupted(self, pod: Pod, message: str) -> JsonObject:
        return self._store(self._begin("mark", pod))

    def delete(self, pod: JsonObject) -> None:
        current = self._begin("delete", Pod.from_json(pod))
        if current["metadata"]["resourceVersion"] != pod["metadata"]["resourceVersion"]:
            raise Conflict(pod["metadata"]["name"])
        del self.stored[_key(pod)]
        self.changes.append((current, True))

    def _begin(self, verb: str, pod: Pod) -> JsonObject:
        self.writes.append((verb, pod.name))
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        current = self.stored.get(f"{pod.namespace}/{pod.name}")
        if current is None:
            raise NotFound(pod.name)
        if current["metadata"]["uid"] != pod.uid:
            raise Conflict(pod.name)
        return copy.deepcopy(current)

    def _store(self, changed: JsonObject) -> JsonObject:
        changed["metadata"]["resourceVersion"] = str(int(changed["metadata"]["resourceVersion"]) + 1)
        self.stored[_key(changed)] = changed
        self.changes.append((copy.deepcopy(changed), False))
        return changed


def _key(raw: JsonObject) -> str:
    return f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"


class FakeEvents:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []
        self.types: set[EventType] = set()
        self.full = False
        """Whether nothing more is taken."""

    def offer(self, involved: ObjectReference, type_: EventType, reason: str, message: str) -> bool:
        if not self.full:
            self.types.add(type_)
            self.said.append((f"{involved.kind}/{involved.name}", reason, message))
        return not self.full

    def about(self, involved: str) -> list[tuple[str, str]]:
        """Reason and message of what was said about ``Kind/name``."""
        return [(reason, message) for name, reason, message in self.said if name == involved]


class Bench:
    """A controller over fakes: change objects, let time pass, look at what it wrote and said."""

    def __init__(
        self,
        *,
        nodes: Sequence[str] = ("node-a", "node-b"),
        writes: bool = True,
        keep_after: float = 60.0,
        pins: bool = False,
        matches: Matcher = MATCHES,
        sender: Sender | None = None,
        **policy: Any,
    ) -> None:
        self.clock, self.claims, self.events, self.metrics = FakeClock(), FakeClaims(), FakeEvents(), Metrics()
        self.pods = FakePods()
        self.leads = True
        self.state = State(World(need_lock=writes))
        reporter = Reporter(self.events)
        self.tools = tools = Tools(
            clock=self.clock,
            observer=Observer(self.state, self.clock, reporter),
            writer=Writer(self.claims, self.pods, lambda: self.leads, self.metrics.writing),
            reporter=reporter,
            metrics=self.metrics,
            policy=Policy(matches=matches, **policy),
            writes=writes,
            pins=pins,
            sender=sender or InTurn(),
        )
        tender = Tender(self.state, tools, unbound_timeout=30.0)
        left_out = LeftOut(self.state, self.clock, reporter, writes=writes)
        self.loop = Loop(self.state, tools, Placer(self.state, tools, keep_after), tender, left_out)
        self.see(Kind.CLASS, class_json())
        for node in nodes:
            self.see(Kind.NODE, node_json(node))
            self.see(Kind.SLICE, slice_json(node))
        self.loop.activate()

    def see(self, kind: Kind, raw: JsonObject, *, deleted: bool = False) -> None:
        """Let a watch report an object."""
        self.loop.observe(Observed(kind, copy.deepcopy(raw), deleted))

    def add_claim(self, raw: JsonObject, *, seen: bool = True) -> None:
        """Create or change a claim at the API server, and let the watch report it."""
        stored = self.claims.put(raw)
        if seen:
            self.see(Kind.CLAIM, stored)

    def add_pod(self, raw: JsonObject, *, seen: bool = True) -> None:
        """Create or change a pod at the API server, and let the watch report it."""
        self.pods.stored[f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"] = raw
        if seen:
            self.see(Kind.POD, raw)

    def remove_pod(self, raw: JsonObject) -> None:
        """Delete a pod."""
        self.pods.stored.pop(f"{raw['metadata']['namespace']}/{raw['metadata']['name']}", None)
        self.see(Kind.POD, raw, deleted=True)

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass in small steps and work be done."""
        end = self.clock.seconds + seconds
        while True:
            self.loop.step()
            while self.pods.changes:
                raw, gone = self.pods.changes.pop(0)
                self.see(Kind.POD, raw, deleted=gone)
                self.loop.step()
            if self.clock.seconds >= end:
                return
            self.clock.seconds = min(self.clock.seconds + 0.25, end)

    def claim(self, name: str = "claim") -> JsonObject:
        """The stored claim."""
        return self.claims.stored[f"default/{name}"]

    def node_of(self, name: str = "claim") -> str | None:
        """The node that a claim is allocated on."""
        allocation = self.claim(name).get("status", {}).get("allocation")
        if allocation is None:
            return None
        node: str = allocation["nodeSelector"]["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]
        return node

    def verbs(self, name: str = "claim") -> list[str]:
        """The writes to a claim so far."""
        return [verb for verb, key in self.claims.writes if key == f"default/{name}"]

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric."""
        return next((one.value for one in self._samples(name) if one.labels == labels), 0.0)

    def total(self, name: str) -> float:
        """The sum of a metric over its labels."""
        return sum(one.value for one in self._samples(name))

    def _samples(self, name: str) -> list[Any]:
        families = text_string_to_metric_families(self.metrics.render().decode())
        return [one for family in families for one in family.samples if one.name == f"hami_dra_{name}"]
