"""When a process decides, and what it serves about itself."""

from __future__ import annotations

import io
import json
import logging
import threading
import urllib.error
import urllib.request

import pytest
from controller_fakes import Bench, FakeClock
from controller_objects import claim_json, pod_json

from hami_dra.controller.agenda import Agenda
from hami_dra.controller.leadership import Leadership
from hami_dra.controller.logs import JsonFormatter
from hami_dra.controller.metrics import Metrics
from hami_dra.controller.observer import Observed
from hami_dra.controller.runner import Runner
from hami_dra.controller.serving import Probes, StatusServer
from hami_dra.controller.world import Kind


class FakeWatch:
    """A watch that reports objects when it is listed."""

    def __init__(self) -> None:
        self.has_synced = True
        self.relists = 0

    def relist(self) -> None:
        self.has_synced = False
        self.relists += 1


class Stage:
    """A runner over the bench's loop, with a lease and a watch that the test holds."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.bench.loop.deactivate()
        self.watch = FakeWatch()
        self.leads = 0
        self.leadership = Leadership(lambda: self.leads)
        self.runner = Runner(self.bench.loop, [self.watch], self.leadership, self.bench.clock)


def test_a_new_leader_lists_afresh_before_it_writes() -> None:
    """What a former leader wrote last may be missing in what was watched until now."""
    stage = Stage()
    stage.runner.put(Observed(Kind.CLAIM, stage.bench.claims.put(claim_json())))
    stage.runner.put(Observed(Kind.POD, pod_json()))
    stage.runner.round()
    stage.leads = 1
    stage.runner.round()
    assert (stage.watch.relists, stage.bench.verbs()) == (1, [])
    stage.watch.has_synced = True
    stage.runner.round()
    assert stage.bench.verbs() == ["finalizer", "allocate"]


def test_what_the_fresh_list_told_is_known_before_the_first_decision() -> None:
    """An allocation that only the list brought is not made twice."""
    stage = Stage()
    stage.runner.put(Observed(Kind.CLAIM, stage.bench.claims.put(claim_json())))
    stage.runner.put(Observed(Kind.POD, pod_json()))
    stage.leads = 1
    stage.runner.round()
    allocated = claim_json(status={"allocation": {"devices": {"results": []}}})
    stage.runner.put(Observed(Kind.CLAIM, stage.bench.claims.put(allocated)))
    stage.watch.has_synced = True
    stage.runner.round()
    assert stage.bench.verbs() == []


def test_a_lost_lease_stops_decisions() -> None:
    """Leadership that ends in between ends everything."""
    stage = Stage()
    stage.leads = 1
    stage.runner.round()
    stage.watch.has_synced = True
    stage.runner.round()
    stage.leads = 0
    stage.runner.put(Observed(Kind.CLAIM, stage.bench.claims.put(claim_json())))
    stage.runner.put(Observed(Kind.POD, pod_json()))
    stage.runner.round()
    assert stage.bench.verbs() == []
    assert stage.bench.metric("leader") == 0


def test_a_leader_that_stood_still_while_another_led_lists_afresh() -> None:
    """It never saw itself without the lease: the term says that somebody else may have written meanwhile."""
    stage = Stage()
    stage.leads = 1
    stage.runner.round()
    stage.watch.has_synced = True
    stage.runner.round()
    assert (stage.watch.relists, stage.leadership.may_write()) == (1, True)
    stage.leads = 2
    assert not stage.leadership.may_write()  # Nor what was sent before, and waits.
    stage.runner.put(Observed(Kind.CLAIM, stage.bench.claims.put(claim_json())))
    stage.runner.put(Observed(Kind.POD, pod_json()))
    stage.runner.round()
    assert (stage.watch.relists, stage.bench.verbs(), stage.leadership.may_write()) == (2, [], False)
    stage.watch.has_synced = True
    stage.runner.round()
    assert (stage.bench.verbs(), stage.leadership.may_write()) == (["finalizer", "allocate"], True)


def test_a_term_that_ends_while_everything_is_listed_begins_nothing() -> None:
    """What another wrote since may be missing in the list: the new term has its own."""
    stage = Stage()
    stage.leads = 1
    stage.runner.round()
    stage.leads = 2
    stage.watch.has_synced = True
    stage.runner.round()
    assert (stage.watch.relists, stage.leadership.begun) == (2, 0)


def test_an_object_that_is_not_understood_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """One malformed object is logged and passed over."""
    stage = Stage()
    stage.runner.put(Observed(Kind.POD, {"metadata": {"name": "odd"}}))
    stage.runner.put(Observed(Kind.POD, pod_json()))
    stage.runner.round()
    assert "object-not-understood" in caplog.text
    assert len(stage.bench.state.world.pods) == 1


def test_the_runner_stops_when_told() -> None:
    """Stopping ends the thread's function after the round it is in."""
    stage = Stage()
    stage.runner.stop()
    stage.runner.run()
    assert not stage.bench.state.active


def test_what_is_reported_waits_for_room_until_the_runner_stops() -> None:
    """Whole lists would pile up else; and a watch must not hang when nobody takes its reports any more."""
    stage, reported = Stage(), list[int]()

    def report() -> None:
        for number in range(2_000):
            stage.runner.put(Observed(Kind.POD, pod_json()))
            reported.append(number)

    watch = threading.Thread(target=report)
    watch.start()
    watch.join(0.05)
    while len(reported) < 1_000:
        watch.join(0.05)
    stage.runner.wake()  # Nor may whoever wakes it hang.
    assert len(reported) == 1_000
    stage.runner.stop()
    watch.join(5)
    assert not watch.is_alive()


def test_probes_and_metrics_are_served() -> None:
    """Health, readiness and counters over HTTP."""
    metrics, ready = Metrics(), [False]
    server = StatusServer("127.0.0.1:0", Probes(lambda: True, lambda: ready[0], metrics.render))
    port = server.start()

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    assert get("/healthz") == (200, "ok\n")
    assert get("/readyz")[0] == 503
    ready[0] = True
    assert get("/readyz")[0] == 200
    assert "hami_dra_leader" in get("/metrics")[1]
    assert get("/nothing")[0] == 404
    server.stop()


def test_logs_are_one_json_object_a_line() -> None:
    """Fields of a record are keys of the object."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.handle(logging.makeLogRecord({"levelname": "WARNING", "msg": "write-failed", "claim": "a/b"}))
    line = json.loads(stream.getvalue())
    assert (line["level"], line["event"], line["claim"]) == ("WARNING", "write-failed", "a/b")


def test_work_is_due_once_at_its_earliest_time() -> None:
    """A later time does not put work off, an earlier one brings it forward."""
    agenda: Agenda[str] = Agenda()
    clock = FakeClock()
    agenda.add("a", clock.seconds + 5)
    agenda.add("a", clock.seconds + 9)
    agenda.add("a", clock.seconds + 2)
    assert agenda.next_due() == clock.seconds + 2
    assert agenda.take_due(clock.seconds + 1) == []
    assert agenda.take_due(clock.seconds + 10) == ["a"]
    assert agenda.next_due() is None
