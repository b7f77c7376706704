"""The plugin's status pages."""

import socket
import struct
import threading

import pytest

from hami_dra.kubelet_plugin.http import HttpServer, Page


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_pods_of_either_family_are_asked(host: str) -> None:
    """In a cluster of IPv6 kubelet restarts a pod that listens on IPv4 alone."""
    server = HttpServer(":0", {"/healthz": lambda: Page(b"ok")})
    server.start()
    try:
        with socket.create_connection((host, server.port), timeout=10) as probe:
            probe.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert b"200 OK" in probe.recv(100)
    finally:
        server.stop()


def test_a_probe_that_is_gone_before_its_answer_is_no_news(capfd: pytest.CaptureFixture[str]) -> None:
    """kubelet gives up after a second; a traceback in the log would look like a fault of ours."""
    asked, gone, serving = threading.Event(), threading.Event(), list[threading.Thread]()

    def late() -> Page:
        serving.append(threading.current_thread())
        asked.set()
        return Page(b"ok", ok=gone.wait(10))

    server = HttpServer("127.0.0.1:0", {"/healthz": late})
    server.start()
    try:
        with socket.create_connection(("127.0.0.1", server.port)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            probe.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert asked.wait(10)
        gone.set()
        serving[0].join(10)
    finally:
        server.stop()
    assert not serving[0].is_alive()
    assert capfd.readouterr().err == ""
