"""Names in the truth store that one holder at a time has: who runs the schedule, and what was told already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from persistence.errors import PersistenceError
from persistence.gates import TruthGate
from persistence.log import get_logger
from persistence.retry import Deadline
from sync.journal import JOURNAL_TIME, RENEWALS

log = get_logger("sync")

#: Seconds for giving a lease back; what is not given back in time runs out.
LET_GO_TIME = 5.0
#: Who holds the name of a flag that is up, in every process; and for how long: as good as for ever.
UP = UUID("d1b7c4e0-0000-4000-8000-000000000001")
FOREVER = 100 * 366 * 86_400.0
#: Seconds for which a look at a flag may stand in another's way, should its process die in the middle.
LOOK = 1.0


class Names:
    """The named leases of a truth store, within a time."""

    def __init__(self, truth: TruthGate) -> None:
        self._truth = truth

    async def hold(self, name: str, holder: UUID, seconds: float) -> bool:
        """Take or renew a name; False where somebody else has it."""
        store = self._truth.store
        call = lambda: store.hold(name, holder=holder, lease=seconds)  # noqa: E731  # named for one line
        return await self._truth.change(call, Deadline(JOURNAL_TIME)) is not None

    async def let_go(self, name: str, holder: UUID, *, within: float = JOURNAL_TIME) -> None:
        """Give a name back, if this holder has it."""
        store = self._truth.store
        await self._truth.change(lambda: store.let_go(name, holder=holder), Deadline(within))


class Leadership:
    """Being the one process that does something. Losing it does no harm where what is done has leases of its own."""

    def __init__(self, names: Names, name: str, seconds: float) -> None:
        self._names = names
        self._name = name
        self._seconds = seconds
        self._holder = uuid4()

    async def take(self) -> bool:
        """Take or renew it; False where another process has it."""
        return await self._names.hold(self._name, self._holder, self._seconds)

    async def give_back(self) -> None:
        """Let another process have it at once, as far as the store can be reached."""
        try:
            await self._names.let_go(self._name, self._holder, within=LET_GO_TIME)
        except PersistenceError as error:
            log.warning("A lease could not be given back; it runs out.", action="let_go", reason=error.message)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew it in the block."""
        beat = asyncio.create_task(self._beat(), name="diptych-auto-sync-lease")
        try:
            yield
        finally:
            beat.cancel()
            await asyncio.wait({beat})

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / RENEWALS)
            try:
                if not await self.take():
                    log.warning("Another process has taken the schedule over.", action="hold", lease=self._name)
                    return
            except PersistenceError as error:
                log.warning("A lease could not be renewed.", action="hold", reason=error.message)


class Flag:
    """Something that was told and not taken back, by whichever process; a restart does not forget it."""

    def __init__(self, names: Names, name: str) -> None:
        self._names = names
        self._name = name

    async def is_up(self) -> bool:
        """Say whether it is up: whether nobody else can have its name."""
        looking = uuid4()
        if not await self._names.hold(self._name, looking, LOOK):
            return True
        await self._names.let_go(self._name, looking)
        return False

    async def put_up(self) -> None:
        """Put it up, until it is taken down."""
        await self._names.hold(self._name, UP, FOREVER)

    async def take_down(self) -> None:
        """Take it down."""
        await self._names.let_go(self._name, UP)


class Reminder:
    """Something that is said at most once in a while, by whichever process."""

    def __init__(self, names: Names, name: str, seconds: float) -> None:
        self._names = names
        self._name = name
        self._seconds = seconds

    async def take(self) -> UUID | None:
        """Return a ticket where nobody has said it for so long, and from now on nobody else does."""
        ticket = uuid4()
        return ticket if await self._names.hold(self._name, ticket, self._seconds) else None

    async def give_back(self, ticket: UUID) -> None:
        """Let it be said by the next who would: it was not said after all."""
        await self._names.let_go(self._name, ticket)
