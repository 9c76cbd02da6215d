"""Connections into a network of its own, and out of it, by sockets in the file system.

Arguments: `inside` or `outside`, then pairs of a place to listen at (a port, or a socket's path) and an address to lead
to (host:port, or a socket's path). Inside, the network's loopback comes up, and every name is answered with it. Says
`ready`, and ends with its input.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
from collections.abc import Awaitable, Callable

LOOPBACK = "127.0.0.1"
#: Where the engine's own name server is.
NAMES = "127.0.0.11"
_SET_FLAGS, _UP_RUNNING = 0x8914, 0x41
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP_RUNNING))


class Names(asyncio.DatagramProtocol):
    """Says of every name that it is here (an A record), and nothing of any other kind."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = data[12 : data.index(b"\0", 12) + 5]
        is_a = question[-4:-2] == b"\0\1"
        answer = b"\xc0\x0c" + struct.pack("!HHIH4s", 1, 1, 5, 4, socket.inet_aton(LOOPBACK)) if is_a else b""
        head = data[:2] + struct.pack("!HHHHH", 0x8180, 1, int(is_a), 0, 0)
        self.transport.sendto(head + question + answer, addr)


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        pass
    finally:
        sink.close()


def bridge(connect: Callable[[], Awaitable[Streams]]) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]:
    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await connect()
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, back), pump(there, writer))

    return lead


def to(address: str) -> Callable[[], Awaitable[Streams]]:
    """Return what connects to an address: a socket's path, or host and port."""
    if address.startswith("/"):
        return lambda: asyncio.open_unix_connection(address)
    host, _, port = address.rpartition(":")
    return lambda: asyncio.open_connection(host, int(port))


async def lead(words: list[str]) -> None:
    """Listen at each place, and lead to the other."""
    for place, address in zip(words[::2], words[1::2], strict=True):
        if place.startswith("/"):
            await asyncio.start_unix_server(bridge(to(address)), place)
        else:
            await asyncio.start_server(bridge(to(address)), LOOPBACK, int(place))


async def main(kind: str, words: list[str]) -> None:
    if kind == "inside":
        loopback_up()
        await asyncio.get_running_loop().create_datagram_endpoint(Names, local_addr=(NAMES, 53))
    await lead(words)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
