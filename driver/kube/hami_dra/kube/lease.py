"""One leader at a time, by a Lease.

`is_leader_until()` is the fence: no write may start at or after that moment of
the monotonic clock, whatever the API server does or does not answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hami_dra.kube.transport import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseOptions:
    """Times in seconds; the lease must outlive the renew deadline, that the retry period."""

    namespace: str
    name: str
    identity: str
    lease_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0


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
        raise NotImplementedError

    def is_leader_until(self) -> float:
        """The moment of time.monotonic() from which on we must not write; 0.0 when not leading."""
        raise NotImplementedError

    def is_leader(self) -> bool:
        """Whether we may write now."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the thread."""
        raise NotImplementedError

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Give the lease back and end the thread."""
        raise NotImplementedError
