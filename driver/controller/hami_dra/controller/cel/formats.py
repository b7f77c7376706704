"""Kubernetes' named formats: ``format.dns1123Label().validate("a")`` is none, or an optional list of what is wrong."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.times import read_time
from hami_dra.controller.cel.urls import Url
from hami_dra.controller.cel.values import NONE, Maybe, name_type

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class Format:
    """A format by name."""

    name: str


name_type(Format, "kubernetes.NamedFormat")


def _pattern(pattern: str, longest: int, *, prefix: bool = False) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)

    def fits(text: str) -> bool:
        # A prefix may end in a dash: a name will follow.
        whole = text[:-2] + "a" if prefix and len(text) > 1 and text.endswith("-") else text
        return len(text.encode()) <= longest and compiled.fullmatch(whole) is not None

    return fits


def _qualified(text: str) -> bool:
    prefix, slash, name = text.rpartition("/")
    return _pattern(_NAME, 63)(name) and (not slash or _pattern(_SUBDOMAIN, 253)(prefix))


def _reads(read: Callable[[str], object]) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        try:
            read(text)
        except (ValueError, CelEvaluationError):
            return False
        return True

    return fits


def _date(text: str) -> None:
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    date.fromisoformat(text)


_FORMATS: dict[str, Callable[[str], bool]] = {
    "dns1123Label": _pattern(_LABEL, 63),
    "dns1123Subdomain": _pattern(_SUBDOMAIN, 253),
    "dns1035Label": _pattern(r"[a-z]([-a-z0-9]*[a-z0-9])?", 63),
    "dns1123LabelPrefix": _pattern(_LABEL, 63, prefix=True),
    "dns1123SubdomainPrefix": _pattern(_SUBDOMAIN, 253, prefix=True),
    "dns1035LabelPrefix": _pattern(r"[a-z]([-a-z0-9]*[a-z0-9])?", 63, prefix=True),
    "qualifiedName": _qualified,
    "labelValue": _pattern(rf"({_NAME})?", 63),
    "uri": _reads(Url.parse),
    "uuid": _pattern(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}", 36),
    "byte": _reads(lambda text: base64.b64decode(text, validate=True)),
    "date": _reads(_date),
    "datetime": _reads(read_time),
}


def _named(name: str) -> Maybe:
    return Maybe(Format(name)) if name in _FORMATS else NONE


def _validate(format_: Format, text: str) -> Maybe:
    return NONE if _FORMATS[format_.name](text) else Maybe([f"{text[:60]!r} is not a {format_.name}"])


LIBRARY = Library()
LIBRARY.function("format.named", (str,), Maybe, _named)
LIBRARY.method("validate", (Format, str), Maybe, _validate)
for _name in _FORMATS:
    LIBRARY.function(f"format.{_name}", (), Format, lambda name=_name: Format(name))
