"""Kubernetes' named formats: ``format.dns1123Label().validate("a")`` is none, or an optional list of what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial

import re2  # type: ignore[import-untyped]

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.urls import Url, spend_on_url
from hami_dra.controller.cel.values import NONE, Frame, Maybe, add_type

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_OLD_LABEL = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_UUID = "(?i)[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}"
_BASE_64 = "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})"
Problems = list[str]


@dataclass(frozen=True, slots=True)
class Format:
    """A format by name."""

    name: str


add_type(Format, "kubernetes.NamedFormat")


def _pattern(what: str, pattern: str, longest: int | None = None) -> Callable[[str], Problems]:
    compiled = re2.compile(pattern)

    def problems(text: str) -> Problems:
        found = []
        if longest is not None and len(text.encode()) > longest:
            found.append(f"must be at most {longest} bytes")
        if not compiled.fullmatch(text):
            found.append(f"{text[:60]!r} is not a {what}")
        return found

    return problems


def _prefix(check: Callable[[str], Problems]) -> Callable[[str], Problems]:
    # A prefix may end in a dash: a name will follow.
    return lambda text: check(f"{text[:-2]}a" if len(text) > 1 and text.endswith("-") else text)


def _qualified(text: str) -> Problems:
    parts = text.split("/")
    if len(parts) > 2:
        return [f"{text[:60]!r} has more than one slash"]
    problems: Problems = []
    if len(parts) == 2:
        problems += _SUBDOMAINS(parts[0]) if parts[0] else ["the prefix before the slash is empty"]
    return problems + ([] if parts[-1] else ["the name is empty"]) + _NAMES(parts[-1])


def _uri(text: str) -> Problems:
    try:
        Url.parse(text)
    except CelEvaluationError as error:
        return [str(error)]
    return []


def _date(what: str, text: str) -> Problems:
    try:
        return [] if _DATES.fullmatch(text) and date.fromisoformat(text) else [f"{text[:60]!r} is not a {what}"]
    except ValueError as error:
        return [f"{text[:60]!r} is not a {what}: {error}"]


def _datetime(text: str) -> Problems:
    day, _, time = text.lower().partition("t")
    return _date("datetime", day) or ([] if _TIMES.fullmatch(time) else [f"{text[:60]!r} is not a datetime"])


_DATES, _TIMES = re2.compile(_DATE), re2.compile(_TIME)
_LABELS = _pattern("lower-case RFC 1123 label", _LABEL, 63)
_OLD_LABELS = _pattern("lower-case RFC 1035 label", _OLD_LABEL, 63)
_SUBDOMAINS = _pattern("lower-case RFC 1123 subdomain", _SUBDOMAIN, 253)
_NAMES = _pattern("qualified name", _NAME, 63)
_FORMATS: dict[str, Callable[[str], Problems]] = {
    "dns1123Label": _LABELS,
    "dns1123Subdomain": _SUBDOMAINS,
    "dns1035Label": _OLD_LABELS,
    "dns1123LabelPrefix": _prefix(_LABELS),
    "dns1123SubdomainPrefix": _prefix(_SUBDOMAINS),
    "dns1035LabelPrefix": _prefix(_OLD_LABELS),
    "qualifiedName": _qualified,
    "labelValue": _pattern("label value", f"({_NAME})?", 63),
    "uri": _uri,
    "uuid": _pattern("UUID", _UUID),
    "byte": _pattern("base64 text", _BASE_64),
    "date": partial(_date, "date"),
    "datetime": _datetime,
}


def _named(name: str) -> Maybe:
    return Maybe(Format(name)) if name in _FORMATS else NONE


def _validate(frame: Frame, format_: Format, text: str) -> Maybe:
    spend_on_url(frame, text)  # None takes longer.
    problems = _FORMATS[format_.name](text)
    return Maybe(problems) if problems else NONE


LIBRARY = Library(steps=10)
LIBRARY.function("format.named", (str,), Maybe, _named)
LIBRARY.method("validate", (Format, str), Maybe, _validate, framed=True)
for _name in _FORMATS:
    LIBRARY.function(f"format.{_name}", (), Format, lambda name=_name: Format(name))
