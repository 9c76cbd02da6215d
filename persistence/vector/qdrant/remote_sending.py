"""How the requests of a change are sent: turn by turn, and those of one turn side by side.

While the server takes one request in, the client makes the next, which for vectors is as much work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from persistence.errors import OutcomeUnknownError, PersistenceError
from persistence.vector.qdrant.engine import Change

Request = Sequence[Change]
Put = Callable[[Request], Awaitable[None]]

#: The requests of one turn that are under way together.
AT_ONCE = 2


async def send(turns: Iterable[Sequence[Request]], put: Put) -> None:
    """Send every request of a turn, and then those of the next; stop at the first that fails.

    Raises what failed; OutcomeUnknownError where some requests were taken and others were not.
    """
    taken = 0
    for turn in turns:
        sent, failed = await _turn(turn, put)
        taken += sent
        if failed:
            raise _error(failed) if taken == 0 else _partly() from failed[0]


async def _turn(requests: Sequence[Request], put: Put) -> tuple[int, list[PersistenceError]]:
    """Return how many requests were taken, and what failed."""
    rest = iter(requests)
    taken = 0
    failed: list[PersistenceError] = []

    async def work() -> None:
        nonlocal taken
        while not failed and (request := next(rest, None)) is not None:
            try:
                await put(request)
            except PersistenceError as error:
                failed.append(error)
            else:
                taken += 1

    if len(requests) == 1:
        await work()
    else:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    return taken, failed


def _error(failed: Sequence[PersistenceError]) -> PersistenceError:
    """Return the error that says least of what was done."""
    return next((error for error in failed if isinstance(error, OutcomeUnknownError)), failed[0])


def _partly() -> OutcomeUnknownError:
    return OutcomeUnknownError("Qdrant took a part of a write, and not the rest.")
