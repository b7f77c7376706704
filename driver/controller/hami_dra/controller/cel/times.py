"""Durations and timestamps, to the microsecond."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import Value, no_overload

_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"([+-]?)(0|(?:{_PART.pattern})+)", re.ASCII)
_MICROSECONDS = {"ns": 0.001, "us": 1, "µs": 1, "μs": 1, "ms": 1_000, "s": 1e6, "m": 6e7, "h": 3.6e9}
_OFFSET = re.compile(r"([+-]?)(\d{1,2}):(\d{2})", re.ASCII)
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST = timedelta(seconds=315_576_000_000)


def checked_duration(duration: timedelta) -> timedelta:
    """The duration; CelEvaluationError when it is longer than about 10,000 years."""
    if abs(duration) > _LONGEST:
        raise CelEvaluationError("duration overflow")
    return duration


def checked_time(start: datetime, duration: timedelta) -> datetime:
    """The time after the duration; CelEvaluationError outside of the years 1 to 9999."""
    try:
        return start + duration
    except OverflowError as error:
        raise CelEvaluationError("timestamp overflow") from error


def _duration(value: Value) -> timedelta:
    if type(value) is timedelta:
        return value
    match = _DURATION.fullmatch(value) if type(value) is str else None
    if match is None:
        raise _unreadable("duration", value)
    total = sum(float(number) * _MICROSECONDS[unit] for number, unit in _PART.findall(match[2]))
    try:
        return checked_duration(timedelta(microseconds=round(-total if match[1] == "-" else total)))
    except OverflowError as error:
        raise CelEvaluationError("duration overflow") from error


def read_time(value: Value) -> datetime:
    """``timestamp(value)``: RFC 3339, or seconds since 1970."""
    try:
        if type(value) is datetime:
            return value
        if type(value) is int:
            return datetime.fromtimestamp(value, UTC)
        if type(value) is str and _STAMP.fullmatch(value):
            return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise _unreadable("timestamp", value) from error
    raise _unreadable("timestamp", value)


def _unreadable(kind: str, value: Value) -> CelEvaluationError:
    return CelEvaluationError(f"{value[:60]!r} is not a {kind}") if type(value) is str else no_overload(kind, (value,))


def _local(time: datetime, zone: str) -> datetime:
    match = _OFFSET.fullmatch(zone)
    try:
        if match:
            offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
            return time.astimezone(timezone(-offset if match[1] == "-" else offset))
        return time.astimezone(ZoneInfo(zone))
    except (ValueError, KeyError, OSError, OverflowError) as error:
        raise CelEvaluationError(f"{zone[:60]!r} is not a time zone") from error


def _getter(read: Callable[[datetime], int]) -> Callable[..., int]:
    return lambda time, zone="UTC": read(_local(time, zone) if zone != "UTC" else time)


LIBRARY = Library()
LIBRARY.function("duration", (object,), timedelta, _duration)
LIBRARY.function("timestamp", (object,), datetime, read_time)
for _name, _read in {
    "getFullYear": lambda time: time.year,
    "getMonth": lambda time: time.month - 1,
    "getDate": lambda time: time.day,
    "getDayOfMonth": lambda time: time.day - 1,
    "getDayOfWeek": lambda time: time.isoweekday() % 7,
    "getDayOfYear": lambda time: time.timetuple().tm_yday - 1,
    "getHours": lambda time: time.hour,
    "getMinutes": lambda time: time.minute,
    "getSeconds": lambda time: time.second,
    "getMilliseconds": lambda time: time.microsecond // 1000,
}.items():
    LIBRARY.method(_name, (datetime, str), int, _getter(_read), optional=1)
for _name, _microseconds in {"getHours": 3_600_000_000, "getMinutes": 60_000_000, "getSeconds": 1_000_000}.items():
    LIBRARY.method(_name, (timedelta,), int, lambda span, unit=_microseconds: int(span / timedelta(microseconds=unit)))
LIBRARY.method("getMilliseconds", (timedelta,), int, lambda span: span.microseconds // 1000)
