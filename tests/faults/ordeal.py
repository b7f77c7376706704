"""What the tests of the safety suite share: pods on a hollow cluster, books kept throughout, a reckoning at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from threading import Event

from claim_books import BooksWatch
from clusters import GATE_AND_PIN, SPACE, Clusters
from patience import all_patiently, create, patiently
from telling import tell

from faultproxy.proxy import FaultProxy
from hami_dra.api.names import ALLOCATION_GATE
from hami_dra.api.resources import JsonObject
from hami_dra.cli.doctor.command import examine
from hami_dra.cli.doctor.problems import Problem
from hami_dra.kube.errors import KubeError
from hami_dra.kube.paths import LEASES, PODS, named, namespaced
from hami_dra.kube.reflector import Reflector
from hami_dra.kube.transport import Client
from hollow.bed import HollowCluster
from hollow.chart import CONTROLLER
from hollow.fleet import Fleet
from hollow.kubelet import remove_pod
from hollow.workload import TEMPLATES, claim_spec, claim_template, pod
from hollow.writing import create_all
from testbed.errors import NotReachedError
from testbed.names import NAMESPACE
from testbed.waiting import until

GPUS = 4
BAR_SECONDS = 60.0
"""What we hold ourselves to: so long after the last fault 95 % of the pods that fit run."""
BAR_SHARE = 0.95
LIMIT_SECONDS = 240.0
"""When a test gives up: machines that run it are slower than those that the bar was set for."""
MEMORIES = ("4000Mi", "6000Mi", "9000Mi", "12000Mi")
CORES = 5
_SETTLE_SECONDS = 5.0
_REST_SECONDS = 60.0
_TOLD = 10
_LEASE = named(namespaced(LEASES, NAMESPACE), CONTROLLER)


@dataclass
class Ordeal:
    """One cluster under faults."""

    bed: HollowCluster
    fleet: Fleet
    books: BooksWatch
    pods: Reflector
    random: Random = field(default_factory=lambda: Random(4))
    alive: dict[str, JsonObject] = field(default_factory=dict)
    """The pods that are meant to run, as they were created, by name."""
    gated: set[str] = field(default_factory=set)
    """The pods that the API server said it holds when it created them, by name."""
    proxies: dict[int, FaultProxy] = field(default_factory=dict)
    """By number."""
    given_up: Event = field(default_factory=Event)
    """Set when the test has failed, for those of its threads that wait."""

    @property
    def client(self) -> Client:
        """An admin's, past all proxies."""
        return self.bed.client

    # --- pods

    def add_pods(self, prefix: str, count: int, workers: int = 4) -> list[str]:
        """Create pods with shares of different sizes; their names."""
        sizes = self.random.choices(range(len(MEMORIES)), k=count)
        bodies = [pod(f"{prefix}-{number}", template=template_name(size)) for number, size in enumerate(sizes)]
        self.put_pods(bodies, workers)
        return [body["metadata"]["name"] for body in bodies]

    def put_pods(self, bodies: Sequence[JsonObject], workers: int = 4) -> None:
        """Create these pods, and mean them to run."""
        self.alive |= {body["metadata"]["name"]: body for body in bodies}
        all_patiently([partial(self._create_pod, body) for body in bodies], workers)

    def remove_pods(self, names: Sequence[str], *, force: bool = False) -> None:
        """Delete pods; `force`: at once, whatever their containers do."""
        for name in names:
            del self.alive[name]
        remove = partial(remove_pod, self.client, SPACE) if force else self._delete_pod
        all_patiently([partial(remove, name) for name in names])

    def restore_pods(self) -> None:
        """Create again what is meant to run and is gone, as a ReplicaSet would."""
        self.put_pods(list(self.alive.values()))

    def running(self) -> int:
        """How many of the pods that are meant to run do."""
        return sum(
            item["metadata"]["name"] in self.alive and item["status"].get("phase") == "Running"
            for item in self.pods.store.snapshot()
        )

    def wait_allocated(self, claims: int) -> int:
        """Until at least so many allocations have begun; how many have."""

        def begun() -> int:
            assert not self.given_up.is_set(), "the test has failed elsewhere"
            seen = self.books.begun()
            return seen if seen >= claims else 0

        return until(begun, f"{claims} allocations began", timeout=LIMIT_SECONDS)

    def _create_pod(self, body: JsonObject) -> None:
        made = create(self.client, namespaced(PODS, SPACE), body)
        if is_gated(made):
            self.gated.add(made["metadata"]["name"])

    def _delete_pod(self, name: str) -> None:
        self.client.delete(named(namespaced(PODS, SPACE), name))

    # --- controllers

    def leader(self) -> int:
        """The number of the replica that holds the Lease, waiting for one."""
        return int(until(self._holder, "somebody leads", timeout=120).partition("_")[0].rpartition("-")[2])

    def shorten_lease(self) -> None:
        """Let the next one lead without waiting for the Lease of one that is known to be dead."""

        def write() -> None:
            lease = self.client.get(_LEASE)
            self.client.update(_LEASE, {**lease, "spec": {**lease["spec"], "leaseDurationSeconds": 1}})

        patiently(write)

    def _holder(self) -> str:
        try:
            return str(self.client.get(_LEASE)["spec"].get("holderIdentity") or "")
        except KubeError:
            return ""

    # --- the end

    def reckon(self, title: str, last_fault: float) -> None:
        """After the last fault (by the monotonic clock) the pods come to run, and nothing is or ever was wrong."""
        at_bar = 0.0

        def enough() -> bool:
            nonlocal at_bar
            share = self.running() / len(self.alive)
            if time.monotonic() - last_fault <= BAR_SECONDS:
                at_bar = share
            return share >= BAR_SHARE

        try:
            until(enough, f"{BAR_SHARE:.0%} of {len(self.alive)} pods run", timeout=LIMIT_SECONDS)
        except NotReachedError as error:
            raise AssertionError("\n".join([str(error), *self._idle()])) from error
        took = time.monotonic() - last_fault
        bar = f"{BAR_SHARE:.0%} of {len(self.alive)} pods ran {took:.0f} s after the last fault"
        print(f"\n{title}: {bar} ({at_bar:.1%} within {BAR_SECONDS:.0f} s)")
        try:
            until(lambda: self.running() == len(self.alive), "the rest runs", timeout=_REST_SECONDS)
        except NotReachedError:
            print(f"{title}: {self._idle()}")
        struck = sum((proxy.struck() for proxy in self.proxies.values()), start=Counter[str]())
        print(f"{title}: {self.books.versions} versions of claims, {self.books.begun()} allocations; {dict(struck)}")
        self.check()

    def _idle(self) -> list[str]:
        """What the first of the pods have come to that do not run."""
        running = {
            item["metadata"]["name"] for item in self.pods.store.snapshot() if item["status"].get("phase") == "Running"
        }
        return [tell(self.client, name) for name in sorted(self.alive.keys() - running)[:_TOLD]]

    def check(self) -> None:
        """Nothing ever was beyond capacity, and whatever else was wrong has passed."""
        assert self.books.beyond == []
        problems: tuple[Problem, ...] = ()

        def healthy() -> bool:
            nonlocal problems
            problems = examine(self.client, _SETTLE_SECONDS).problems
            return not problems

        try:
            until(healthy, "the doctor finds nothing", timeout=LIMIT_SECONDS)
        except NotReachedError as error:
            raise AssertionError("\n".join(map(str, problems))) from error
        assert self.books.beyond == []


@contextmanager
def ordeal(clusters: Clusters, nodes: int, values: Mapping[str, str]) -> Iterator[Ordeal]:
    """A hollow cluster with GPUs, templates and kubelets; controllers are the test's to start.

    `values`: of the chart.
    """
    with clusters.lend(values) as bed:
        fleet = bed.fleet(GPUS)
        fleet.add(nodes)
        sizes = [claim_template(template_name(size), claim_spec(memory, CORES)) for size, memory in enumerate(MEMORIES)]
        create_all(bed.client, namespaced(TEMPLATES, SPACE), sizes)
        bed.start_kubelet()
        if values == GATE_AND_PIN:
            until(partial(_gates, bed.client), "pods are gated")
        books, pods = BooksWatch(bed.client), Reflector(bed.client, PODS)
        made = Ordeal(bed, fleet, books, pods)
        books.start()
        pods.start()
        try:
            yield made
        finally:
            for proxy in made.proxies.values():
                proxy.stop()
            books.stop()
            pods.stop()


def is_gated(pod: JsonObject) -> bool:
    """Whether the pod waits for its allocation before kube-scheduler may see it."""
    return ALLOCATION_GATE in {gate["name"] for gate in pod["spec"].get("schedulingGates") or ()}


def _gates(client: Client) -> bool:
    """Whether a pod that is created now is held: policies and templates are known to the API server a little later."""
    return is_gated(client.create(f"{namespaced(PODS, SPACE)}?dryRun=All", pod("probe", template=template_name(0))))


def template_name(size: int) -> str:
    """The template of shares with the memory of this number."""
    return f"share-{size}"
