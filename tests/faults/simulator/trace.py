"""What happened, in order: as a number by which two runs are compared, and as lines where somebody looks."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from tests.faults.simulator.loop import PROCESS


class Trace:
    """A hash over every event, with its time and its process. ``keep``: remember the lines too."""

    def __init__(self, clock: Callable[[], float], *, keep: bool = False) -> None:
        self._clock = clock
        self._hash = blake2b(digest_size=8)
        self._keep = keep
        self.events = 0
        self.lines: list[str] = []

    def add(self, *said: object) -> None:
        """Note one event."""
        process = PROCESS.get()
        line = f"{self._clock():.6f} {process.name if process else 'world'} {' '.join(map(str, said))}"
        self.events += 1
        self._hash.update(line.encode())
        if self._keep:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        """The hash so far."""
        return self._hash.hexdigest()
