"""What is made of the looks at a program's work."""

import pytest

from gpucheck.core_series import Series, common, errors_of, parse_series

MS = 1_000_000


def steady(start_ms: int, end_ms: int, part: float) -> Series:
    """A look each 10 ms at work that goes on evenly."""
    looks = range(start_ms, end_ms + 1, 10)
    return Series(tuple(at * MS for at in looks), tuple(int((at - start_ms) * MS * part) for at in looks))


def test_looks_are_read_among_other_lines() -> None:
    """What else a program prints is left alone."""
    assert parse_series("at 10 0\nlaunched 5\nat 20 7\n") == Series((10, 20), (0, 7))


def test_steady_share_has_its_percent_in_every_window() -> None:
    """Relative to what a program alone gets done."""
    found = errors_of(steady(0, 3000, 0.27), 30, 0.9, 1.0)
    assert found is not None
    assert (found.median, found.worst) == (pytest.approx(0), pytest.approx(0))


def test_worst_window_keeps_its_sign() -> None:
    """Too little is not the same as too much."""
    early, late = steady(0, 1000, 0.3), steady(1000, 2000, 0.1)
    series = Series(early.at_ns + late.at_ns[1:], early.work_ns + tuple(300 * MS + work for work in late.work_ns[1:]))
    found = errors_of(series, 30, 1.0, 0.5)
    assert found is not None
    assert found.worst == pytest.approx(-20)


def test_too_short_a_time_has_no_windows() -> None:
    """Nothing is said of it."""
    assert errors_of(steady(0, 400, 0.3), 30, 1.0, 1.0) is None


def test_only_the_time_of_all_tenants_counts() -> None:
    """From when the last one works, and the beginning is left out."""
    first, second = common([steady(0, 3000, 0.3), steady(1000, 2500, 0.6)], 0.5)
    assert (first.at_ns[0], first.at_ns[-1]) == (1510 * MS, 2490 * MS)
    assert second.at_ns == first.at_ns


def test_tenant_that_never_worked_leaves_nothing() -> None:
    """There is no common time then."""
    assert [one.rate() for one in common([steady(0, 1000, 0.3), steady(0, 1000, 0.0)], 0.1)] == [0, 0]
