"""A relay in front of a server on loopback, which can be cut and mended: the server is down, for whoever goes by it."""

import asyncio
from contextlib import asynccontextmanager, suppress

HOST = "127.0.0.1"


class Relay:
    def __init__(self, target):
        self.target, self.port = target, 0
        self._open, self._server = set(), None

    async def mend(self):
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self):
        """Nobody comes in any more, and whoever was in is thrown out in the middle of a word."""
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        while self._open:
            await asyncio.sleep(0.01)

    async def _serve(self, reader, writer):
        there, back = await asyncio.open_connection(HOST, self.target)
        self._open |= {writer, back}
        with suppress(OSError):
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        self._open -= {writer, back}

    async def _pump(self, reader, writer):
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def relay_to(port):
    found = Relay(port)
    await found.mend()
    try:
        yield found
    finally:
        await found.cut()
