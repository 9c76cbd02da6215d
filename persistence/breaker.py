"""The circuit breaker: a graph that is down is left alone, but for a probe now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

from persistence.errors import GraphUnavailableError
from persistence.log import get_logger

log = get_logger("breaker")


class BreakerState(StrEnum):
    """Closed: calls go through. Open: they are answered at once, and only a probe may try."""

    CLOSED = "closed"
    OPEN = "open"


class Breaker:
    """Opens after ``failures`` outages in a row; lets one probe through every ``probe`` seconds until one succeeds.

    ``tell`` is told each change.
    """

    def __init__(
        self,
        failures: int,
        probe: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        tell: Callable[[BreakerState], None] | None = None,
    ) -> None:
        self._threshold = failures
        self._probe = probe
        self._clock = clock
        self._tell = tell
        self._failures = 0
        self._next_probe = 0.0

    @property
    def state(self) -> BreakerState:
        """Whether calls go through."""
        return BreakerState.OPEN if self._failures >= self._threshold else BreakerState.CLOSED

    def check(self) -> None:
        """Raise GraphUnavailableError where the breaker is open."""
        if self.state is BreakerState.OPEN:
            raise GraphUnavailableError("The graph store is not reachable at the moment; it is being probed.")

    def probe_in(self) -> float | None:
        """Return the seconds until a probe is due, None where none is needed."""
        if self.state is BreakerState.CLOSED:
            return None
        return max(0.0, self._next_probe - self._clock())

    def claim_probe(self) -> bool:
        """Take the probe that is due, so that no one else does; False where none is."""
        if self.probe_in() != 0.0:
            return False
        self._next_probe = self._clock() + self._probe
        return True

    def succeeded(self) -> None:
        """Note that the graph answered."""
        was, self._failures = self.state, 0
        if was is BreakerState.OPEN:
            log.info("The graph store answers again.", action="breaker_closed")
            self._say()

    def failed(self) -> None:
        """Note an outage."""
        was = self.state
        self._failures += 1
        self._next_probe = self._clock() + self._probe
        if was is BreakerState.CLOSED and self.state is BreakerState.OPEN:
            log.warning("The graph store does not answer; writes are kept for the relay.", action="breaker_opened")
            self._say()

    def _say(self) -> None:
        if self._tell is not None:
            self._tell(self.state)
