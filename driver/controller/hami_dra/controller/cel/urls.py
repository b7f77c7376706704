"""Kubernetes' URL library: absolute URLs and absolute paths, read by the rules of Go's ``url.ParseRequestURI``."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, unquote_plus

from hami_dra.controller.cel.errors import CelEvaluationError
from hami_dra.controller.cel.quantities import is_readable
from hami_dra.controller.cel.registry import Library
from hami_dra.controller.cel.values import LENGTHS, Frame, add_type, spend

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)?:", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
# Possessive: what a repetition may give back takes a hundred bytes for each character.
_HOST = re.compile(r"(?:[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"]|[^\x00-\x7f]|%(?:25|[89a-fA-F][0-9a-fA-F]))*+")
_ZONE = re.compile(r"(?:[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"]|[^\x00-\x7f]|%[0-9a-fA-F]{2})*+")
_USER = re.compile(r"(?:[A-Za-z0-9\-._:~!$&'()*+,;=@]|%[0-9a-fA-F]{2})*+")
_PORT = re.compile(r"(?::[0-9]*)?")
_ENCODED_PATH = re.compile(r"[A-Za-z0-9\-_.~!$&'()*+,;=:@/\[\]%]*")
_UNESCAPED = "/$&+,:;=@-_.~"
_PAIR = 5  # Steps.


@dataclass(frozen=True, slots=True)
class Url:
    """A URL in parts, without what follows ``#``."""

    scheme: str = ""
    opaque: str = ""
    user: str = ""
    host: str = ""
    path: str = ""
    query: str = ""

    @classmethod
    def parse(cls, text: str) -> Url:
        """Read ``text``; CelEvaluationError when it is no absolute URL or path."""
        try:
            _parse(text, as_request=True)
            plain, _, fragment = text.partition("#")
            if _BAD_ESCAPE.search(fragment):
                raise ValueError("a percent sign must be followed by two hexadecimal digits")
            return _parse(plain)
        except ValueError as error:
            raise CelEvaluationError(f"{text[:60]!r} is not a URL: {error}") from error

    def length(self) -> int:
        """How many characters it has."""
        return sum(map(len, (self.scheme, self.opaque, self.user, self.host, self.path, self.query)))

    @property
    def hostname(self) -> str:
        """The host without port and brackets."""
        name, colon, port = self.host.rpartition(":")
        host = name if colon and _PORT.fullmatch(colon + port) else self.host
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @property
    def port(self) -> str:
        """The port, or nothing."""
        _, colon, port = self.host.rpartition(":")
        return port if colon and _PORT.fullmatch(colon + port) else ""


add_type(Url, "kubernetes.URL")
LENGTHS[Url] = Url.length


def _parse(text: str, *, as_request: bool = False) -> Url:
    # A request's URL has no fragment, and a host only after a scheme.
    if (as_request and not text) or _CONTROL.search(text):
        raise ValueError("it is empty or has control characters")
    if text == "*":
        return Url(path="*")
    match = _SCHEME.match(text)
    if match and not match[1]:
        raise ValueError("the scheme is missing")
    scheme = match[1].lower() if match else ""
    rest, _, query = (text[match.end() :] if match else text).partition("?")
    if not rest.startswith("/"):
        if not scheme and as_request:
            raise ValueError("it starts with neither a scheme nor a slash")
        return Url(scheme, opaque=rest, query=query)
    hosted = bool(scheme) or (not as_request and not rest.startswith("///"))
    if not hosted or not rest.startswith("//"):
        return Url(scheme, path=_escaped_path(rest), query=query)
    authority, slash, path = rest[2:].partition("/")
    user, _, host = authority.rpartition("@")
    if not _USER.fullmatch(user):
        raise ValueError("the user has a character that is not allowed")
    return Url(scheme, "", user, _host(scheme, host), _escaped_path(slash + path), query)


def _checked(text: str) -> None:
    try:
        _parse(text, as_request=True)
    except ValueError as error:
        raise CelEvaluationError(f"{text[:60]!r} is not a URL: {error}") from error


def _read(frame: Frame, text: str) -> Url:
    spend_on_url(frame, text)
    return Url.parse(text)


def _is_url(frame: Frame, text: str) -> bool:
    spend_on_url(frame, text)
    return is_readable(_checked)(text)


def spend_on_url(frame: Frame, text: str) -> None:
    """Take the steps of reading a URL, some of which is done character by character."""
    spend(frame, len(text) // 3)


def _host(scheme: str, host: str) -> str:
    if "[" in host:
        return _literal_host(host)
    first, last = host.find(":"), host.rfind(":")
    port = first if scheme in ("http", "https") else last
    if first >= 0 and not _PORT.fullmatch(host[port:]):
        raise ValueError("the port is no number")
    if not _HOST.fullmatch(host):
        raise ValueError("the host has a character that is not allowed")
    return unquote(host)


def _literal_host(host: str) -> str:
    address, bracket, port = host.rpartition("]")
    if not host.startswith("[") or "[" in host[1:] or not bracket or not _PORT.fullmatch(port):
        raise ValueError("the host is no address in brackets")
    plain, percent, zone = address[1:].partition("%25")
    if not _HOST.fullmatch(plain) or not _ZONE.fullmatch(zone):
        raise ValueError("the host has a character that is not allowed")
    name = unquote(plain + percent + zone)
    ipaddress.IPv6Address(name)
    return f"[{name}]{port}"


def _escaped_path(path: str) -> str:
    if _BAD_ESCAPE.search(path):
        raise ValueError("a percent sign must be followed by two hexadecimal digits")
    return (
        path
        if _ENCODED_PATH.fullmatch(path)
        else quote(unquote(path, errors="surrogateescape"), _UNESCAPED, errors="surrogateescape")
    )


def _query(frame: Frame, url: Url) -> dict[str, list[str]]:
    spend(frame, len(url.query) // 10 + _PAIR * url.query.count("&"))
    found: dict[str, list[str]] = {}
    for pair in url.query.split("&"):
        if pair and ";" not in pair and not _BAD_ESCAPE.search(pair):
            name, _, value = pair.partition("=")
            found.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    return found


LIBRARY = Library(steps=10)
LIBRARY.function("url", (str,), Url, _read, framed=True)
LIBRARY.function("isURL", (str,), bool, _is_url, framed=True)
LIBRARY.method("getScheme", (Url,), str, lambda url: url.scheme)
LIBRARY.method("getHost", (Url,), str, lambda url: url.host)
LIBRARY.method("getHostname", (Url,), str, lambda url: url.hostname)
LIBRARY.method("getPort", (Url,), str, lambda url: url.port)
LIBRARY.method("getEscapedPath", (Url,), str, lambda url: url.path)
LIBRARY.method("getQuery", (Url,), dict, _query, framed=True)
