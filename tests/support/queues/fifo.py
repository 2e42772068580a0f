"""FIFOs through which a worker tells a test where it is, and waits for it.

The test holds both ends open, so no side waits in `open`: a thread that did could not be ended, and neither
could the test.
"""

import asyncio
import os
from pathlib import Path


class Fifo:
    """A new FIFO, open until `close`."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def __str__(self) -> str:
        return str(self.path)

    def close(self) -> None:
        os.close(self._fd)

    async def line(self, seconds: float) -> str:
        """The next line that a worker writes.

        Raises:
            TimeoutError: it writes none.
        """
        loop, there = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._fd, there.set)
        try:
            await asyncio.wait_for(there.wait(), seconds)
        finally:
            loop.remove_reader(self._fd)
        # A line is written in one piece, which is not split below 4,096 bytes: pipe(7), PIPE_BUF.
        return os.read(self._fd, 4096).decode().removesuffix("\n")

    def let_go(self) -> None:
        """Ends the wait of one worker, also of one that comes later."""
        os.write(self._fd, b"go\n")
