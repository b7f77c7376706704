"""A test that does several things at a time ends with the first that fails."""

from functools import partial
from threading import Event

import pytest
from abreast import abreast


def wait_for(given_up: Event) -> None:
    assert given_up.wait(30), "nobody gave up"


def fail() -> None:
    raise ValueError("the first")


def test_the_first_failure_is_told_and_ends_the_rest() -> None:
    """What was not begun is not begun, what waits is told."""
    given_up, never = Event(), Event()
    tasks = [partial(wait_for, given_up), fail, partial(wait_for, given_up), never.set]
    with pytest.raises(ValueError, match="the first"):
        abreast(tasks, 2, given_up)
    assert (given_up.is_set(), never.is_set()) == (True, False)


def test_without_a_failure_all_is_done() -> None:
    """And nobody is told to give up."""
    given_up, done = Event(), [Event(), Event(), Event()]
    abreast([one.set for one in done], 2, given_up)
    assert (all(one.is_set() for one in done), given_up.is_set()) == (True, False)
