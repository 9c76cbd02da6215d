"""One backend that could be chosen, and what speaks for it and against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from persistence.choosing import figures as f
from persistence.choosing.facts import Facts, Server
from persistence.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Option:
    """A backend by its URL. ``reasons``, ``objections`` and ``to_do`` (what is missing to use it) are sentences."""

    name: str
    url: SecretStr
    reasons: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()
    to_do: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


def chosen(options: Sequence[Option]) -> Option:
    """Return the first without objections, one that can be used as things are before one that cannot."""
    fit = [option for option in options if not option.objections]
    if not fit:
        raise ConfigurationError("No backend does what is asked for.", hint="ask for less, or add a server")
    return next((option for option in fit if not option.to_do), fit[0])


def install(extra: str, facts: Facts) -> Iterator[str]:
    """Say what is to be done for an extra's libraries."""
    if extra not in facts.installed:
        yield f'pip install "diptych[{extra}]"'


def start(server: Server) -> Iterator[str]:
    """Say what is to be done for a server to answer."""
    if not server.answers:
        yield f"start the {server.kind} server ({server.origin}), which does not answer"


def slow_search(facts: Facts, per_number: float) -> Iterator[str]:
    """Object to an exact search that takes too long, or comes too often."""
    seconds = searching(facts, per_number)
    if seconds > f.SLOWEST_SEARCH:
        yield (
            f"It looks at every memory of the tenant: {_of(facts)} take about {seconds * 1_000:,.0f} ms a search, more"
            f" than {f.SLOWEST_SEARCH * 1_000:.0f}."
        )
    elif f.share(seconds, facts.queries_per_second) > f.BUSIEST:
        yield (
            f"{facts.queries_per_second:,.0f} searches a second of about {seconds * 1_000:,.1f} ms each take more than"
            f" {f.BUSIEST:.0%} of a core."
        )


def quick_search(facts: Facts, per_number: float) -> str:
    """Say how long an exact search takes."""
    return f"An exact search of {_of(facts)} takes about {searching(facts, per_number) * 1_000:,.1f} ms."


def searching(facts: Facts, per_number: float) -> float:
    """Return the seconds of an exact search."""
    return facts.memories * facts.dimension * per_number


def too_large(what: str, size: int, facts: Facts) -> Iterator[str]:
    """Object to what takes more of the machine's memory than it may."""
    if not f.fits(size, facts):
        yield (
            f"{what} in memory: about {size / f.MB:,.0f} MB, more than {f.MOST_RAM:.0%} of the machine's"
            f" {facts.ram_bytes / f.MB:,.0f} MB."
        )


def alone(facts: Facts) -> Iterator[str]:
    """Object to what one process alone can have."""
    if facts.processes > 1:
        yield f"One process at a time can have it, and there are {facts.processes}."


def _of(facts: Facts) -> str:
    return f"{facts.memories:,} memories of {facts.dimension:,} dimensions"
