"""A mail server that accepts everything as fast as one process can: `python -m bench.sink` prints its port.

It says that it takes several commands at once, as most servers do, and answers each in its turn.
"""

import asyncio


class Session(asyncio.Protocol):
    """One connection. Nothing is kept: what was handed over is checked in the database of the sender."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._out, self._buffer, self._in_text = transport, b"", False
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._step():
            pass

    def _step(self) -> bool:
        """Answer one command, or one text up to its final dot; False until all of it is here."""
        head, found, rest = self._buffer.partition(b"\r\n.\r\n" if self._in_text else b"\r\n")
        if not found:
            return False
        self._buffer = rest
        self._out.write(b"250 ok\r\n" if self._in_text else _answer(head[:4].upper()))
        self._in_text = not self._in_text and head[:4].upper() == b"DATA"
        return True


def _answer(verb: bytes) -> bytes:
    if verb == b"EHLO":
        return b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
    return {b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n")


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Session, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
