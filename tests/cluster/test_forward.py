"""The forwarder, without its network namespace."""

import asyncio

from cluster.forward import relay


async def through_relay(sent: bytes) -> bytes:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = await reader.read()  # until the client ends its direction
        writer.write(whole.upper())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    forwarder = await asyncio.start_server(lambda r, w: relay(r, w, "127.0.0.1", port), "127.0.0.1", 0)
    async with server, forwarder:
        reader, writer = await asyncio.open_connection(*forwarder.sockets[0].getsockname())
        writer.write(sent)
        writer.write_eof()
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
    return received


def test_bytes_arrive_after_the_client_ended_its_direction() -> None:
    """A half-closed connection still carries the answer."""
    assert asyncio.run(through_relay(b"abc" * 100_000)) == b"ABC" * 100_000


async def without_server() -> bytes:
    forwarder = await asyncio.start_server(lambda r, w: relay(r, w, "127.0.0.1", 1), "127.0.0.1", 0)
    async with forwarder:
        reader, writer = await asyncio.open_connection(*forwarder.sockets[0].getsockname())
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
    return received


def test_connection_ends_when_the_api_server_is_down() -> None:
    """The client sees an end, not a silence."""
    assert asyncio.run(without_server()) == b""
