"""One leader at a time, by a Lease.

`term()` is the fence: no write may start when it is 0, whatever the API server
does or does not answer, nor under another term than it was decided in: who led
for a while, stood still and leads again knows nothing of what others did
meanwhile. The fence lies `lease_seconds - renew_deadline_seconds` before the
first moment at which another may take over; requests begun before it must time
out within that margin. Whether the lease of another has run out is judged by
how long we saw it unchanged, never by comparing wall clocks.
"""

import enum
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from hami_dra.api.resources import JsonObject
from hami_dra.kube import times
from hami_dra.kube.errors import AlreadyExists, KubeError, NotFound
from hami_dra.kube.paths import LEASES, namespaced
from hami_dra.kube.transport import Client, Timeouts

_LOG: Final = logging.getLogger(__name__)
_JITTER: Final = 0.2
# The monotonic clock stands still while the machine sleeps, which the lease does not.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def seconds_since_boot() -> float:
    """A clock that is never set, and runs on while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseOptions:
    """Times in seconds; the lease must outlive the renew deadline, that the retry period.

    `identity` must be unique to this process (a pod's UID is not: its container is started again, or twice).
    """

    namespace: str
    name: str
    identity: str
    lease_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class _Observation:
    """What another holder last wrote, and when we first saw it."""

    content: tuple[str, str]
    seen_at: float


class _Tenure(NamedTuple):
    """A term, and the moment from which on nothing may be written under it."""

    term: int
    until: float


class _Found(enum.Enum):
    """What an attempt at the lease came to."""

    RENEWED = enum.auto()
    TAKEN = enum.auto()
    OTHERS = enum.auto()


class LeaderElector:
    """Runs for leadership on a thread of its own from `start()` to `stop()`."""

    def __init__(
        self,
        client: Client,
        options: LeaseOptions,
        *,
        on_started: Callable[[], None],
        on_stopped: Callable[[], None],
        clock: Callable[[], float] = seconds_since_boot,
    ) -> None:
        """`on_started` and `on_stopped` run on the elector's thread, alternately, and must not block."""
        if not options.lease_seconds > options.renew_deadline_seconds > options.retry_seconds > 0:
            raise ValueError(f"found {options}, wanted lease > renew deadline > retry > 0 seconds")
        attempt_seconds = options.renew_deadline_seconds / 2
        self._client = client.with_timeouts(Timeouts(connect=attempt_seconds, read=attempt_seconds))
        self._options = options
        self._on_started = on_started
        self._on_stopped = on_stopped
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lease {options.name}", daemon=True)
        self._clock = clock
        self._terms = 0
        self._leading = False
        # Read by other threads: replaced as a whole.
        self._tenure = _Tenure(0, 0.0)
        self._observed: _Observation | None = None
        self._collection = namespaced(LEASES, options.namespace)
        self._path = namespaced(LEASES, options.namespace, options.name)

    def term(self) -> int:
        """The number of the term in which we lead now; 0 when we do not. It grows whenever another may have led."""
        tenure = self._tenure
        return tenure.term if self._clock() < tenure.until else 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Give the lease back and end the thread. Whoever writes under the lease must have ended before."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._attempt()
            self._stopping.wait(self._pause())
        if self._leading:
            self._lose("stopping")
            self._release()

    def _attempt(self) -> None:
        began = self._clock()
        try:
            found = self._acquire_or_renew()
        except Exception as error:
            # We may or may not hold it: the deadline decides. Not only KubeError: if this thread ended over a reply
            # that makes no sense, nobody would notice that we never lead again.
            _LOG.warning("lease not reached", extra={"lease": self._path, "error": repr(error)})
            if self._leading and not self.term():
                self._lose("not renewed in time")
            return
        if self._leading and found is not _Found.RENEWED:
            self._lose("taken by another")
        if found is not _Found.OTHERS:
            self._lead(began + self._options.renew_deadline_seconds)

    def _pause(self) -> float:
        retry = self._options.retry_seconds * (1 + _JITTER * random.random())  # noqa: S311
        if not self._leading:
            return retry
        return max(0.0, min(retry, self._tenure.until - self._clock()))

    def _lead(self, until: float) -> None:
        begins = not self._leading
        self._terms += begins
        self._leading, self._tenure = True, _Tenure(self._terms, until)
        if begins:
            _LOG.info("leading", extra={"lease": self._path, "identity": self._options.identity})
            self._on_started()

    def _lose(self, why: str) -> None:
        self._leading, self._tenure = False, _Tenure(0, 0.0)
        _LOG.info("no longer leading", extra={"lease": self._path, "reason": why})
        self._on_stopped()

    def _acquire_or_renew(self) -> _Found:
        try:
            lease = self._client.get(self._path)
        except NotFound:
            return self._create()
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._options.identity) and not self._ran_out(lease):
            return _Found.OTHERS
        taken = holder != self._options.identity
        transitions = int(spec.get("leaseTransitions") or 0) + taken
        acquired = times.micro_timestamp(times.now()) if taken else spec.get("acquireTime")
        wanted = {**self._spec(), "acquireTime": acquired, "leaseTransitions": transitions}
        # Under the version that was read: of two that try at once, one gets a conflict.
        self._client.update(self._path, {**lease, "spec": wanted})
        return _Found.TAKEN if taken else _Found.RENEWED

    def _create(self) -> _Found:
        options = self._options
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": options.name, "namespace": options.namespace},
            "spec": {**self._spec(), "acquireTime": times.micro_timestamp(times.now()), "leaseTransitions": 0},
        }
        try:
            self._client.create(self._collection, body)
        except AlreadyExists:
            return _Found.OTHERS
        return _Found.TAKEN

    def _ran_out(self, lease: JsonObject) -> bool:
        spec = lease["spec"]
        content = (str(spec.get("holderIdentity")), str(spec.get("renewTime")))
        now = self._clock()
        if self._observed is None or self._observed.content != content:
            self._observed = _Observation(content, now)
        duration = float(spec.get("leaseDurationSeconds") or self._options.lease_seconds)
        return now >= self._observed.seen_at + duration

    def _release(self) -> None:
        try:
            lease = self._client.get(self._path)
            if lease["spec"].get("holderIdentity") == self._options.identity:
                freed = {**lease["spec"], **self._spec(), "holderIdentity": "", "leaseDurationSeconds": 1}
                self._client.update(self._path, {**lease, "spec": freed})
        except KubeError as error:
            # It runs out by itself.
            _LOG.warning("lease not given back", extra={"lease": self._path, "error": str(error)})

    def _spec(self) -> JsonObject:
        # Whole seconds and never fewer than we count on ourselves.
        duration = max(1, -int(-self._options.lease_seconds // 1))
        return {
            "holderIdentity": self._options.identity,
            "leaseDurationSeconds": duration,
            "renewTime": times.micro_timestamp(times.now()),
        }
