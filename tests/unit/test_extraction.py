"""What an extractor found, as far as every graph can hold it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from persistence import AsyncPersistenceService, PersistenceConfig
from persistence.graph.memory import MemoryGraph
from persistence.ports.extractor import Extraction
from persistence.records import Entity, Relationship
from persistence.vector.memory import MemoryStore

#: Characters of four bytes: two of these names fit together, and with the type they do not.
TENANT, WIDE, TYPE = "🏠" * 250, "🍞" * 250, "🧂" * 200
SHORT = "bread"


def entity(name: str, kind: str = "T") -> Entity:
    return Entity(name=name, type=kind)


def relation(source: str, target: str, **types: str) -> Relationship:
    return Relationship(source=source, type="OF", target=target, **types)


def test_what_fits_is_as_it_was() -> None:
    """Where every entity fits, nothing is changed."""
    found = Extraction((entity(WIDE), entity(SHORT)), (relation(WIDE, SHORT),))
    assert found.held("ann") is found


def test_what_no_graph_can_hold_is_left_out() -> None:
    """An entity whose identity is too long goes, with the relationships that end at it; all the others stay."""
    found = Extraction(
        (entity(WIDE, TYPE), entity(SHORT), entity("oven")),
        (relation(WIDE, SHORT), relation("oven", WIDE), relation(SHORT.upper(), "oven")),
    )
    held = found.held(TENANT)
    assert held.entities == found.entities[1:]
    assert held.relationships == found.relationships[2:]


def test_of_two_types_of_one_name_one_may_go() -> None:
    """A relationship stays with the type of its end that stays."""
    found = Extraction(
        (entity(WIDE), entity(WIDE, TYPE), entity(SHORT)),
        (relation(WIDE, SHORT, source_type="T"), relation(WIDE, SHORT, source_type=TYPE)),
    )
    held = found.held(TENANT)
    assert held.entities == (found.entities[0], found.entities[2])
    assert held.relationships == found.relationships[:1]


class Wordy:
    """Finds one name that is too long, and one that is not."""

    model = "wordy"

    async def extract(self, texts: Sequence[str]) -> list[Extraction]:
        return [Extraction((entity(WIDE, TYPE), entity(SHORT)), ()) for _ in texts]

    async def close(self) -> None:
        """Nothing was opened."""


async def test_a_memory_of_such_a_text_is_stored() -> None:
    """A tenant with a long name, and a text with a long name in it, end in a memory that is in step."""
    config = PersistenceConfig(embedding_dimension=4)
    service = AsyncPersistenceService.connect(MemoryStore(), MemoryGraph(), extractor=Wordy(), config=config)
    async with service as memories:
        done = await memories.store("…", user_id=TENANT, embedding=np.ones(4))
        await memories.wait_until_in_step(done.id, user_id=TENANT)
        truth = await memories.get(done.id, user_id=TENANT)
        assert truth is not None
        assert [one.name for one in truth.entities] == [SHORT]
