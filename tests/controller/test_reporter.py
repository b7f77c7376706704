"""How often something is said about an object."""

from __future__ import annotations

from controller_fakes import FakeEvents
from controller_objects import pod_json

from hami_dra.controller.pods import Pod
from hami_dra.controller.reporter import Reporter

POD = Pod.from_json(pod_json())


def test_a_message_that_keeps_changing_is_written_every_five_seconds() -> None:
    """What comes sooner is asked for again when its time has come."""
    events = FakeEvents()
    reporter = Reporter(events)
    for second in range(10):
        due = reporter.warn([POD], "FilteringFailed", f"at {second}", float(second))
        assert due == (1800.0 + second if second in (0, 5) else 5.0 if second < 5 else 10.0)
    assert [message for _, message in events.about("Pod/pod")] == ["at 0", "at 5"]


def test_what_still_holds_is_said_again_after_half_an_hour() -> None:
    """Before the Event expires, and not sooner."""
    events = FakeEvents()
    reporter = Reporter(events)
    assert [reporter.warn([POD], "FilteringFailed", "full", at) for at in (0.0, 1799.0, 1800.0)] == [1800, 1800, 3600]
    assert len(events.said) == 2


def test_reasons_do_not_wait_for_each_other() -> None:
    """Each has a time of its own; what is forgotten may be said anew at once."""
    events = FakeEvents()
    reporter = Reporter(events)
    reporter.warn([POD], "FilteringFailed", "full", 0.0)
    reporter.warn([POD], "InvalidAnnotation", "wrong", 1.0)
    reporter.forget(POD.uid)
    reporter.warn([POD], "FilteringFailed", "fuller", 2.0)
    assert [reason for reason, _ in events.about("Pod/pod")] == [
        "FilteringFailed",
        "InvalidAnnotation",
        "FilteringFailed",
    ]
