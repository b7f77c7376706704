"""The program ``hami-dra-controller``: wires the parts together and runs them until it is told to stop."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Sequence

from hami_dra.api.names import CONTROLLER_PROGRAM
from hami_dra.api.share_config import DevicePlacement, NodePlacement
from hami_dra.controller.cel import CelMatcher, warm_up
from hami_dra.controller.clock import SystemClock
from hami_dra.controller.errors import ControllerError
from hami_dra.controller.garbage import collect_rarely
from hami_dra.controller.leadership import Leadership
from hami_dra.controller.left_out import LeftOut
from hami_dra.controller.logs import set_up
from hami_dra.controller.loop import Loop
from hami_dra.controller.metrics import Metrics
from hami_dra.controller.observer import Observed, Observer
from hami_dra.controller.placer import Placer
from hami_dra.controller.plan import Policy
from hami_dra.controller.pod_access import Pods
from hami_dra.controller.reporter import Reporter
from hami_dra.controller.runner import Runner
from hami_dra.controller.sending import AtOnce, Sender
from hami_dra.controller.serving import Probes, StatusServer
from hami_dra.controller.settings import Allocator, Settings, identity, load
from hami_dra.controller.state import State
from hami_dra.controller.tender import Tender
from hami_dra.controller.tools import Tools
from hami_dra.controller.watches import make_reflectors
from hami_dra.controller.world import World
from hami_dra.controller.writer import Writer
from hami_dra.kube.claims import Claims
from hami_dra.kube.errors import KubeError
from hami_dra.kube.events import EventRecorder
from hami_dra.kube.lease import LeaderElector, LeaseOptions
from hami_dra.kube.reflector import Reflector
from hami_dra.kube.transport import Client, Timeouts, connect

LOG = logging.getLogger(__name__)

_STUCK_SECONDS = 120.0
# Together less than the time between the renew deadline and the lease's end (5 s): a write begun in time ends in time.
_WRITE_TIMEOUTS = Timeouts(connect=1.5, read=3.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; the exit status."""
    try:
        settings = load(sys.argv[1:] if arguments is None else arguments)
        set_up(settings.log_level)
        client = connect(settings.kubeconfig or None)
        return Daemon(settings, client).run()
    except (ControllerError, KubeError) as error:
        print(f"{CONTROLLER_PROGRAM}: {error}", file=sys.stderr)  # noqa: T201
        return 2


class Daemon:
    """The controller as a process."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self._stopping = threading.Event()
        self._failed = False
        self._metrics, clock = Metrics(), SystemClock()
        self._events = EventRecorder(client, component=CONTROLLER_PROGRAM)
        self._elector = LeaderElector(
            client,
            LeaseOptions(namespace=settings.lease_namespace, name=settings.lease_name, identity=identity(settings)),
            on_started=self._wake,
            on_stopped=self._wake,
        )
        self._reflectors: list[Reflector] = make_reflectors(
            client, self._put, on_synced=self._wake, on_fatal=self._fail
        )
        self._sender = AtOnce(settings.concurrent_writes, self._wake)
        leadership = Leadership(self._elector.term)
        loop = build_loop(settings, client, leadership, self._events, self._metrics, self._sender)
        self._runner = Runner(loop, self._reflectors, leadership, clock)
        probes = Probes(
            healthy=lambda: clock.monotonic() - self._runner.beat < _STUCK_SECONDS,
            ready=lambda: self._runner.synced,
            metrics=self._metrics.render,
        )
        self._status = StatusServer(settings.http_address, probes)

    def run(self) -> int:
        """Start everything, wait for a signal, stop everything in reverse."""
        collect_rarely()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        decisions = threading.Thread(target=self._decide, name="decisions", daemon=True)
        self._status.start()
        self._events.start()
        for reflector in self._reflectors:
            reflector.start()
        self._elector.start()
        decisions.start()
        LOG.info("started")
        warm_up()  # Here, while the lists are on their way.
        self._stopping.wait()
        self._runner.stop()
        decisions.join(timeout=10)
        self._sender.stop()  # Before the lease is given back.
        self._elector.stop()
        for reflector in self._reflectors:
            reflector.stop()
        self._events.stop()
        self._status.stop()
        LOG.info("stopped", extra={"failed": self._failed})
        return 1 if self._failed else 0

    def _put(self, observed: Observed) -> None:
        self._runner.put(observed)

    def _wake(self) -> None:
        self._runner.wake()

    def _decide(self) -> None:
        try:
            self._runner.run()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        LOG.error("fatal", exc_info=error)
        self._failed = True
        self._stopping.set()


def build_loop(
    settings: Settings,
    client: Client,
    leadership: Leadership,
    events: EventRecorder,
    metrics: Metrics,
    sender: Sender,
) -> Loop:
    """The decisions with their effects."""
    writes = settings.allocator is Allocator.CONTROLLER
    state, clock, reporter = State(World(need_lock=writes)), SystemClock(), Reporter(events)
    claims, pods = Claims(client.with_timeouts(_WRITE_TIMEOUTS)), Pods(client.with_timeouts(_WRITE_TIMEOUTS), clock)
    tools = Tools(
        clock=clock,
        observer=Observer(state, clock, reporter),
        writer=Writer(claims, pods, leadership.may_write, metrics.writing),
        reporter=reporter,
        metrics=metrics,
        policy=Policy(
            matches=CelMatcher(),
            node=NodePlacement(settings.placement_node),
            device=DevicePlacement(settings.placement_device),
            require_cores=settings.require_cores,
        ),
        writes=writes,
        pins=settings.gate_and_pin,
        sender=sender,
    )
    tender = Tender(state, tools, settings.unbound_timeout_seconds)
    left_out = LeftOut(state, clock, reporter, writes=writes)
    return Loop(state, tools, Placer(state, tools, settings.keep_place_after_seconds), tender, left_out)


if __name__ == "__main__":
    sys.exit(main())
