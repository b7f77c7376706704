"""The status pages."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from hami_dra.controller.errors import ServingError
from hami_dra.controller.serving import Probes, StatusServer


def test_an_address_that_is_taken_is_named() -> None:
    """Two programs on one port: the second says which address it could not have."""
    probes = Probes(healthy=lambda: True, ready=lambda: True, metrics=bytes)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=f"127.0.0.1:{port}"):
            StatusServer(f"127.0.0.1:{port}", probes).start()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_pods_of_either_family_are_asked(host: str) -> None:
    """In a cluster of IPv6 kubelet restarts a pod that listens on IPv4 alone."""
    server = StatusServer(":0", Probes(healthy=lambda: True, ready=lambda: True, metrics=bytes))
    port = server.start()
    try:
        with socket.create_connection((host, port), timeout=10) as probe:
            probe.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert b"200 OK" in probe.recv(100)
    finally:
        server.stop()


def test_a_probe_that_is_gone_before_its_answer_is_no_news(capfd: pytest.CaptureFixture[str]) -> None:
    """kubelet gives up after a second; a traceback in the log would look like a fault of ours."""
    asked, gone, serving = threading.Event(), threading.Event(), list[threading.Thread]()

    def late() -> bool:
        serving.append(threading.current_thread())
        asked.set()
        return gone.wait(10)

    server = StatusServer("127.0.0.1:0", Probes(healthy=late, ready=lambda: True, metrics=bytes))
    port = server.start()
    try:
        with socket.create_connection(("127.0.0.1", port)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            probe.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert asked.wait(10)
        gone.set()
        serving[0].join(10)
    finally:
        server.stop()
    assert not serving[0].is_alive()
    assert capfd.readouterr().err == ""


def test_who_asks_nothing_is_hung_up_on() -> None:
    """Each connection has a thread: a port scanner, or a peer whose node died, would have it for good."""
    server = StatusServer("127.0.0.1:0", Probes(lambda: True, lambda: True, bytes), idle_seconds=0.1)
    port = server.start()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as idle:
            assert idle.recv(1) == b""
    finally:
        server.stop()


def test_who_does_not_read_the_answer_is_hung_up_on(capfd: pytest.CaptureFixture[str]) -> None:
    """And it is no news."""
    serving, asked = list[threading.Thread](), threading.Event()

    def long() -> bytes:
        serving.append(threading.current_thread())
        asked.set()
        return bytes(1 << 26)

    server = StatusServer("127.0.0.1:0", Probes(lambda: True, lambda: True, long), idle_seconds=0.1)
    port = server.start()
    try:
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert asked.wait(5)
            serving[0].join(5)
            assert not serving[0].is_alive()
    finally:
        server.stop()
    assert capfd.readouterr().err == ""
