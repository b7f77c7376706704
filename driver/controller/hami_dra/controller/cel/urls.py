"""Kubernetes' URL library: absolute URLs and absolute paths, read as Go's ``url.ParseRequestURI`` does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.quantities import is_readable
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import name_type

_START = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:/|/")
_WRONG = re.compile(r"[\x00-\x20\x7f]|%(?![0-9a-fA-F]{2})")
_SAFE = "%/:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class Url:
    """A URL; ``#`` starts no fragment."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Url:
        """Check ``text``; CelEvaluationError when it is no absolute URL or path."""
        host = text.partition("?")[0]
        try:
            if _START.match(text) and not _WRONG.search(host) and urlsplit(text).port != -1:
                return cls(text)
        except ValueError as error:
            raise CelEvaluationError(f"{text[:60]!r} is not a URL: {error}") from error
        raise CelEvaluationError(f"{text[:60]!r} is not a URL")

    @property
    def parts(self) -> SplitResult:
        """Scheme, host and the rest."""
        return urlsplit(self.text, allow_fragments=False)

    @property
    def host(self) -> str:
        """Host and port, without the user."""
        return self.parts.netloc.rpartition("@")[2]


name_type(Url, "kubernetes.URL")


def _hostname(url: Url) -> str:
    host = url.host
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _port(url: Url) -> str:
    return url.host.rpartition("]")[2].partition(":")[2]


LIBRARY = Library()
LIBRARY.function("url", (str,), Url, Url.parse)
LIBRARY.function("isURL", (str,), bool, is_readable(Url.parse))
LIBRARY.method("getScheme", (Url,), str, lambda url: url.parts.scheme)
LIBRARY.method("getHost", (Url,), str, lambda url: url.host)
LIBRARY.method("getHostname", (Url,), str, _hostname)
LIBRARY.method("getPort", (Url,), str, _port)
LIBRARY.method("getEscapedPath", (Url,), str, lambda url: quote(url.parts.path, safe=_SAFE))
LIBRARY.method("getQuery", (Url,), dict, lambda url: parse_qs(url.parts.query, keep_blank_values=True))
