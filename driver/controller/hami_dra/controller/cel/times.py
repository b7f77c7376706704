"""Durations and timestamps, to the nanosecond."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import (
    SECOND,
    Duration,
    Frame,
    Timestamp,
    Value,
    checked_duration,
    checked_time,
    no_overload,
    spend,
)

_PART = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"([+-]?)(0|(?:(?=\.?\d){_PART.pattern})+)", re.ASCII)
_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000}
_UNITS |= {"s": SECOND, "m": 60 * SECOND, "h": 3_600 * SECOND}
_LONGEST = 1_000  # Python refuses to read numbers of some thousand digits.
_OFFSET = re.compile(r"([+-]?)(\d{1,2}):(\d{2})", re.ASCII)
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_LOOK_UP = 200  # Steps: a zone may have to be read from its file.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _duration(frame: Frame, value: Value) -> Duration:
    if type(value) is Duration:
        return value
    if type(value) is str:
        spend(frame, len(value))  # It may have hundreds of parts.
    match = _DURATION.fullmatch(value) if type(value) is str and len(value) <= _LONGEST else None
    if match is None:
        raise _unreadable("duration", value)
    total = sum(_part(*part) for part in _PART.findall(match[2]))
    return checked_duration(-total if match[1] == "-" else total)


def _part(whole: str, fraction: str, unit: str) -> int:
    nanoseconds: int = _UNITS[unit]
    return int(whole or 0) * nanoseconds + int(f"{fraction}0") * nanoseconds // int(f"1{'0' * len(fraction)}0")


def read_time(value: Value) -> Timestamp:
    """``timestamp(value)``: RFC 3339, or seconds since 1970."""
    if type(value) is Timestamp:
        return value
    if type(value) is int:
        return checked_time(value * SECOND)
    match = _STAMP.fullmatch(value) if type(value) is str else None
    if match is None:
        raise _unreadable("timestamp", value)
    start, fraction, sign, hours, minutes = match.groups()
    try:
        local = datetime.fromisoformat(start).replace(tzinfo=UTC)
    except ValueError as error:
        raise _unreadable("timestamp", value) from error
    if int(hours or 0) > 24 or int(minutes or 0) > 60:
        raise _unreadable("timestamp", value)
    offset = (int(hours or 0) * 60 + int(minutes or 0)) * 60 * (-1 if sign == "-" else 1)
    seconds = (local - _EPOCH) // timedelta(seconds=1) - offset
    return checked_time(seconds * SECOND + int((fraction or "0")[:9].ljust(9, "0")))


def _unreadable(kind: str, value: Value) -> CelEvaluationError:
    return CelEvaluationError(f"{value[:60]!r} is not a {kind}") if type(value) is str else no_overload(kind, (value,))


def duration_text(duration: Duration) -> str:
    """Seconds with as many decimals as it takes: ``90s``, ``1.5s``."""
    whole, rest = divmod(abs(int(duration)), SECOND)
    return f"{'-' if duration < 0 else ''}{_decimals(str(whole), rest)}s"


def time_text(time: Timestamp) -> str:
    """RFC 3339 in UTC with as many decimals as it takes."""
    return f"{_decimals(_at(time, UTC).isoformat()[:19], int(time) % SECOND)}Z"


def _decimals(whole: str, nanoseconds: int) -> str:
    return f"{whole}.{nanoseconds:09}".rstrip("0") if nanoseconds else whole


def _at(time: Timestamp, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(seconds=int(time) // SECOND)).astimezone(zone)


def _zone(frame: Frame, name: str) -> tzinfo:
    if name in ("", "Local", "UTC"):
        return UTC
    spend(frame, len(name) // 10)
    match = _OFFSET.fullmatch(name)
    if match is None:
        spend(frame, _LOOK_UP)
        return _named_zone(name)
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


@lru_cache(maxsize=64)
def _named_zone(name: str) -> tzinfo:
    return ZoneInfo(name)


def _getter(read: Callable[[datetime], int]) -> Callable[..., int]:
    def get(frame: Frame, time: Timestamp, zone: str = "UTC") -> int:
        try:
            return read(_at(time, _zone(frame, zone)))
        except (ValueError, KeyError, OSError, OverflowError) as error:
            raise CelEvaluationError(f"{zone[:60]!r} is not a time zone") from error

    return get


def _spans(unit: int) -> Callable[[Duration], int]:
    return lambda span: -(-int(span) // unit) if span < 0 else int(span) // unit


LIBRARY = Library(steps=5)
LIBRARY.function("duration", (object,), Duration, _duration, framed=True)
LIBRARY.function("timestamp", (object,), Timestamp, read_time)
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
}.items():
    LIBRARY.method(_name, (Timestamp, str), int, _getter(_read), optional=1, framed=True)
LIBRARY.method(
    "getMilliseconds", (Timestamp, str), int, lambda time, _zone="": int(time) % SECOND // _UNITS["ms"], optional=1
)
for _name, _unit in {"getHours": "h", "getMinutes": "m", "getSeconds": "s", "getMilliseconds": "ms"}.items():
    LIBRARY.method(_name, (Duration,), int, _spans(_UNITS[_unit]))
