"""One leader at a time, by a Lease.

`is_leader_until()` is the fence: no write may start at or after that moment of
the monotonic clock, whatever the API server does or does not answer. It lies
`lease_seconds - renew_deadline_seconds` before the first moment at which another
may take over; requests begun before the fence must time out within that margin.
Whether the lease of another has run out is judged by how long we saw it
unchanged, never by comparing wall clocks.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hami_dra.api.resources import JsonObject
from hami_dra.kube import times
from hami_dra.kube.errors import AlreadyExists, KubeError, NotFound
from hami_dra.kube.paths import LEASES, namespaced
from hami_dra.kube.transport import Client, Timeouts

_LOG: Final = logging.getLogger(__name__)
_JITTER: Final = 0.2


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


class LeaderElector:
    """Runs for leadership on a thread of its own from `start()` to `stop()`."""

    def __init__(
        self,
        client: Client,
        options: LeaseOptions,
        *,
        on_started: Callable[[], None],
        on_stopped: Callable[[], None],
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
        self._deadline = 0.0
        self._leading = False
        self._observed: _Observation | None = None
        self._collection = namespaced(LEASES, options.namespace)
        self._path = namespaced(LEASES, options.namespace, options.name)

    def is_leader_until(self) -> float:
        """The moment of time.monotonic() from which on we must not write; 0.0 when not leading."""
        return self._deadline

    def is_leader(self) -> bool:
        """Whether we may write now."""
        return time.monotonic() < self._deadline

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
        began = time.monotonic()
        try:
            held = self._acquire_or_renew()
        except KubeError as error:
            # We may or may not hold it: the deadline decides.
            _LOG.warning("lease not reached", extra={"lease": self._path, "error": str(error)})
            if self._leading and not self.is_leader():
                self._lose("not renewed in time")
            return
        if held:
            self._deadline = began + self._options.renew_deadline_seconds
            self._lead()
        elif self._leading:
            self._lose("taken by another")

    def _pause(self) -> float:
        retry = self._options.retry_seconds * (1 + _JITTER * random.random())  # noqa: S311
        if not self._leading:
            return retry
        return max(0.0, min(retry, self._deadline - time.monotonic()))

    def _lead(self) -> None:
        if not self._leading:
            self._leading = True
            _LOG.info("leading", extra={"lease": self._path, "identity": self._options.identity})
            self._on_started()

    def _lose(self, why: str) -> None:
        self._leading = False
        self._deadline = 0.0
        _LOG.info("no longer leading", extra={"lease": self._path, "reason": why})
        self._on_stopped()

    def _acquire_or_renew(self) -> bool:
        try:
            lease = self._client.get(self._path)
        except NotFound:
            return self._create()
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._options.identity) and not self._ran_out(lease):
            return False
        taken = holder != self._options.identity
        transitions = int(spec.get("leaseTransitions") or 0) + taken
        acquired = times.micro_timestamp(times.now()) if taken else spec.get("acquireTime")
        wanted = {**self._spec(), "acquireTime": acquired, "leaseTransitions": transitions}
        # Under the version that was read: of two that try at once, one gets a conflict.
        self._client.update(self._path, {**lease, "spec": wanted})
        return True

    def _create(self) -> bool:
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
            return False
        return True

    def _ran_out(self, lease: JsonObject) -> bool:
        spec = lease["spec"]
        content = (str(spec.get("holderIdentity")), str(spec.get("renewTime")))
        now = time.monotonic()
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
