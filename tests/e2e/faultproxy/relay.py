"""Copies a reply to the client: bodies of known length, and streams, which may end early on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler

from faultproxy.faults import CutWatch, ExpiredWatch

_PIECE_BYTES = 1 << 16
_OF_ONE_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
_EXPIRED = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "too old resource version",
        "reason": "Expired",
        "code": 410,
    },
}


class BrokenOff(Exception):
    """The stream ends here, without its proper end."""


def forwarded_headers(headers: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that concern more than one hop."""
    return [(name, value) for name, value in headers if name.lower() not in _OF_ONE_HOP]


def relay(handler: BaseHTTPRequestHandler, reply: HTTPResponse, end: CutWatch | ExpiredWatch | None = None) -> None:
    """Copy status, headers and body. Raises BrokenOff where `end` says so, OSError when the client is gone."""
    handler.send_response_only(reply.status, reply.reason)
    for name, value in forwarded_headers(reply.getheaders()):
        handler.send_header(name, value)
    if not reply.chunked:
        handler.end_headers()
        handler.wfile.write(reply.read())
        return
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for piece in _pieces(reply, end):
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


def _pieces(reply: HTTPResponse, end: CutWatch | ExpiredWatch | None) -> Iterator[bytes]:
    is_json = "protobuf" not in (reply.getheader("Content-Type") or "")
    events = 0
    while piece := reply.read1(_PIECE_BYTES):
        if end is not None and events >= end.after_events:
            if isinstance(end, ExpiredWatch) and is_json:
                yield json.dumps(_EXPIRED).encode() + b"\n"
                return
            # Half of an event, as a broken connection would leave it.
            yield piece[: len(piece) // 2]
            raise BrokenOff
        # Other streams have no separator to count, but the API server sends each event in a piece of its own.
        events += piece.count(b"\n") if is_json else 1
        yield piece
