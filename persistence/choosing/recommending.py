"""From facts to a pair of backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from persistence.choosing.facts import Facts
from persistence.choosing.graphs import GRAPHS
from persistence.choosing.options import Option, chosen
from persistence.choosing.truths import TRUTHS
from persistence.records import validated
from persistence.settings import PersistenceConfig
from persistence.urls import mask


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A truth and a graph. ``instead`` are the others with what speaks against them, for both sides."""

    vector: Option
    graph: Option
    settings: Mapping[str, str]
    instead_of_vector: tuple[Option, ...]
    instead_of_graph: tuple[Option, ...]

    @property
    def to_do(self) -> tuple[str, ...]:
        """What is missing to use them, each thing once."""
        return tuple(dict.fromkeys((*self.vector.to_do, *self.graph.to_do)))


def recommend(facts: Facts | None = None, /, **wanted: Any) -> Recommendation:
    """Return the pair of backends that does what is wanted with what is there, and the settings to use.

        persistence.recommend(await persistence.probe(), memories=1_000_000, queries_per_second=50)

    ``facts``: what is there; ``wanted``: fields of ``Facts`` over it. Nothing is looked at here, so the same facts have
    the same answer. Passwords are masked in ``settings``. Raises InvalidInputError.
    """
    known = validated(Facts, {**(facts.model_dump() if facts else {}), **wanted})
    truths = [option(known) for option in TRUTHS]
    vector = chosen(truths)
    graphs = [option(known, vector) for option in GRAPHS]
    graph = chosen(graphs)
    return Recommendation(
        vector, graph, _settings(known, vector, graph), _others(truths, vector), _others(graphs, graph)
    )


def _others(options: Sequence[Option], one: Option) -> tuple[Option, ...]:
    return tuple(option for option in options if option is not one)


def _settings(facts: Facts, vector: Option, graph: Option) -> dict[str, str]:
    """Return environment variables; what is the default already is left out, the two URLs apart."""
    urls = {"DIPTYCH_VECTOR_URL": vector, "DIPTYCH_GRAPH_URL": graph}
    settings = {name: mask(option.url.get_secret_value()) for name, option in urls.items()}
    if facts.dimension != PersistenceConfig.model_fields["embedding_dimension"].default:
        settings["DIPTYCH_EMBEDDING_DIMENSION"] = str(facts.dimension)
    return {**settings, **vector.settings, **graph.settings}
