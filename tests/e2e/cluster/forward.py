"""The API server's port on the host: listens on the host's loopback, connects from inside the cluster's network.

usage: forward.py NETNS PORT ADDRESS [PORT-THERE], a program of its own, because it changes its network namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import sys

_CLONE_NEWNET = 0x40000000
_CHUNK_BYTES = 65536


def enter_network(netns: str) -> None:
    """Move this process to a network namespace; its sockets made before stay where they were made."""
    with open(netns, "rb") as handle:  # noqa: PTH123 - this file imports no more than it must: it stays in memory
        if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns to {netns}")


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy bytes until the source ends, then end the sink's direction only: the other one may still have bytes."""
    with contextlib.suppress(ConnectionError):
        while data := await source.read(_CHUNK_BYTES):
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()


async def relay(client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter, address: str, port: int) -> None:
    """Serve one connection."""
    try:
        server_in, server_out = await asyncio.open_connection(address, port)
    except OSError:
        client_out.close()
        return
    try:
        await asyncio.gather(pump(client_in, server_out), pump(server_in, client_out))
    finally:
        server_out.close()
        client_out.close()


async def serve(listener: socket.socket, address: str, port: int) -> None:
    """Serve for ever."""
    server = await asyncio.start_server(lambda r, w: relay(r, w, address, port), sock=listener)
    async with server:
        await server.serve_forever()


def main(netns: str, port: str, address: str, port_there: str = "443") -> None:
    listener = socket.create_server(("127.0.0.1", int(port)))
    enter_network(netns)
    asyncio.run(serve(listener, address, int(port_there)))


if __name__ == "__main__":
    os.chdir("/")
    main(*sys.argv[1:])
