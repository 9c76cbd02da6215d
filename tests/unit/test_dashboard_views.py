"""What the dashboard concludes from what it read: the verdict, the charts, the comparison, text that shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.access import LOCAL
from api.dashboard.rendering import prose, short, shown
from api.dashboard.series import Backlog, Sample
from api.dashboard.sessions import Sessions
from api.dashboard.views.charts import BOTTOM, POINTS, TOP, backlog_chart, drift_chart
from api.dashboard.views.copies import Mark, compare
from api.dashboard.views.drawing import ENTITIES, HEIGHT, WIDTH, draw
from api.dashboard.views.runs import RunView
from api.dashboard.views.verdict import Evidence, Tone, judge
from api.dashboard.words import span
from persistence.ports.graph import GraphEdge, GraphEntity, GraphMemory
from persistence.ports.runs import Depth, Kind, Run, RunKind, RunState
from persistence.ports.vector import Tombstone, Truth
from persistence.projection import project
from persistence.records import Entity, Memory, Relationship
from persistence.results import HealthCheck, HealthStatus, OutboxStats, StoreHealth
from sync.model import DriftPoint

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UP, DOWN = StoreHealth(HealthStatus.HEALTHY, "up"), StoreHealth(HealthStatus.UNHEALTHY, "down", error="It is away.")
OFF = StoreHealth(HealthStatus.DISABLED, "none")
EMPTY = OutboxStats(0, 0, None)


def check(found: int = 0, *, complete: bool = True, ago: timedelta = timedelta(minutes=5)) -> DriftPoint:
    return DriftPoint(UUID(int=1), Depth.QUICK, None, NOW - ago, complete, found)


def seen(vector: StoreHealth = UP, graph: StoreHealth = UP, **more: Any) -> Evidence:
    health = HealthCheck(HealthStatus.HEALTHY, vector, graph, EMPTY, NOW)
    return Evidence(**{"health": health, "outbox": EMPTY, "open": {}, "basis": check(), "now": NOW, **more})


@pytest.mark.parametrize(
    ("evidence", "tone", "sentence"),
    [
        (seen(), Tone.OK, "Both stores are in step."),
        (seen(basis=check(7)), Tone.OK, "Both stores are in step."),
        (seen(basis=None), Tone.UNKNOWN, "Nothing is in doubt, but no check was made."),
        (seen(basis=check(complete=False)), Tone.UNKNOWN, "Nothing is known to differ."),
        (seen(basis=check(ago=timedelta(days=3))), Tone.UNKNOWN, "but the last check is old"),
        (seen(outbox=OutboxStats(3, 0, 2.0)), Tone.BUSY, "The graph is catching up."),
        (seen(outbox=OutboxStats(3, 0, 600.0)), Tone.WARN, "The graph is catching up."),
        (seen(outbox=OutboxStats(0, 1, None)), Tone.BAD, "The stores are not in step."),
        (seen(open={Kind.MISSING: 2}, outbox=OutboxStats(3, 0, 2.0)), Tone.BAD, "The stores are not in step."),
        (seen(outbox=None), Tone.UNKNOWN, "Not known."),
        (seen(open=None), Tone.UNKNOWN, "Not known."),
        (seen(graph=OFF), Tone.UNKNOWN, "There is no graph."),
        (seen(graph=DOWN, open={Kind.MISSING: 2}), Tone.BAD, "The graph is out of reach."),
        (seen(vector=DOWN, graph=DOWN, outbox=None), Tone.BAD, "Truth is out of reach."),
    ],
)
def test_the_verdict_says_the_worst_that_is_known(evidence: Evidence, tone: Tone, sentence: str) -> None:
    """All is well only where all could be read, nothing is in doubt, and a fresh whole check stands behind it."""
    verdict = judge(evidence)
    assert verdict.tone is tone
    assert sentence in verdict.sentence
    assert (verdict.sign == "=") is (tone is Tone.OK)


def test_a_backlog_that_could_not_be_read_leaves_a_gap() -> None:
    """Samples without an answer, and long silences, cut the line; the highest of many samples is never thinned away."""
    samples = [Sample(NOW + timedelta(seconds=15 * at), at % 7, 0) for at in range(1_000)]
    samples[500] = Sample(samples[500].at, 99, 0)
    samples[700] = Sample(samples[700].at, None, 0)
    chart = backlog_chart([*samples[:800], *samples[900:]], samples[-1].at)
    assert len(chart.lines) == 3
    assert all(len(line.split()) <= POINTS + 1 for line in chart.lines)
    heights = [float(pair.split(",")[1]) for line in chart.lines for pair in line.split()]
    assert TOP <= min(heights) < TOP + 2
    assert max(heights) == BOTTOM
    assert backlog_chart([Sample(NOW, None, 0)], NOW).begins is None


def test_drift_is_a_dot_for_each_check() -> None:
    """One check is one dot without a line; an incomplete one is told apart."""
    one = drift_chart([check(3, complete=False)])
    assert (len(one.dots), one.lines, one.top, one.dots[0].whole) == (1, (), 5, False)
    assert len(drift_chart([check(), check(2)]).lines) == 1
    assert drift_chart([]).begins is None


def test_failures_of_the_relay_are_known_only_after_an_hour() -> None:
    """Where nobody looked an hour ago, how many failed since is not known, and not nothing."""
    backlog = Backlog()
    backlog.take(EMPTY, 4)
    assert backlog.failed_since(datetime.now(UTC) - timedelta(hours=1), 6) is None
    assert backlog.failed_since(datetime.now(UTC) + timedelta(seconds=1), 6) == 2


def memory(*names: str) -> Memory:
    stated = [Relationship(source=names[0], type="KNOWS", target=name) for name in names[1:]]
    return Memory(
        id="m",
        user_id="u",
        content="text",
        entities=tuple(Entity(name=name, type="Person") for name in names),
        relationships=tuple(stated),
        version=7,
        digest=1,
        created_at=NOW,
        updated_at=NOW,
    )


def copy_of(memory: Memory, **more: Any) -> GraphMemory:
    f = project(memory)
    ends = [(m.type, m.key) for m in f.mentions]
    given: dict[str, Any] = {
        "user_id": f.user_id,
        "id": f.id,
        "version": memory.version,
        "digest": f.digest,
        "bucket": f.bucket,
        "live": True,
        "caption": f.caption,
        "agent_id": None,
        "run_id": None,
        "created_at": NOW,
        "entities": tuple(GraphEntity(m.type, m.key, m.name, dict(m.properties)) for m in f.mentions),
        "edges": tuple(GraphEdge(ends[e.source], e.type, ends[e.target], dict(e.properties), "m") for e in f.edges),
    }
    return GraphMemory(**{**given, **more})


def test_copies_that_say_the_same_differ_in_nothing() -> None:
    """A memory and its projection are the same, row by row."""
    copies = compare(Truth(memory("Ada", "Bob")), copy_of(memory("Ada", "Bob")), read=True)
    assert copies.differing == 0
    assert len(copies.entities) == 2
    assert len(copies.edges) == 1


def test_what_differs_is_marked_where_it_is() -> None:
    """A lost edge, a strange entity and another caption are marked on the side that has them."""
    copy = copy_of(memory("Ada", "Bob"), edges=(), caption="else")
    copies = compare(Truth(memory("Ada", "Bob", "Eve")), copy, read=True)
    marks = {row.truth or row.graph: row.mark for row in (*copies.fields, *copies.entities, *copies.edges)}
    assert marks["text"] is Mark.DIFFERS
    assert marks["Eve"] is Mark.TRUTH_ONLY
    assert marks["ada → bob"] is Mark.TRUTH_ONLY
    back = compare(Truth(memory("Ada")), copy_of(memory("Ada", "Bob")), read=True)
    assert [row.mark for row in back.edges] == [Mark.GRAPH_ONLY]


def test_what_could_not_be_read_is_no_difference() -> None:
    """Without the graph's copy nothing is compared; a tombstone that no graph ever heard of is in order."""
    assert compare(Truth(memory("Ada", "Bob")), None, read=False).differing == 0
    assert compare(Truth(memory("Ada", "Bob")), None, read=True).differing > 0
    assert compare(Truth(tombstone=Tombstone("u", "m", 9)), None, read=True).differing == 0


def test_a_drawing_holds_what_it_can_and_counts_the_rest() -> None:
    """Every node lies within the drawing, and what there was no room for is counted."""
    many = memory(*(f"Person {number}" for number in range(40)))
    drawing = draw("m", project(many), copy_of(many), (), read=True)
    assert len(drawing.entities) == ENTITIES
    assert all(0 < node.x < WIDTH and 0 < node.y < HEIGHT for node in drawing.entities)
    relationships = sum(line.label is not None for line in drawing.lines)
    assert drawing.left_out == 40 - ENTITIES + 39 - relationships


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\nb", "a⟨U+000A⟩b"),
        ("👩🏽\u200d🚀", "👩🏽\u200d🚀"),
        ("\u2066\ufeff", "⟨U+2066⟩⟨U+FEFF⟩"),
    ],
)
def test_characters_that_show_nothing_are_shown(text: str, is_shown: str) -> None:
    """What turns text around or takes no room stands there as a code; emoji stay whole."""
    assert shown(text) == is_shown
    assert prose("a\nb\u202e") == "a\nb⟨U+202E⟩"
    assert len(short("x" * 300)) == 40


def test_a_token_fits_its_session_alone() -> None:
    """Tokens of two secrets and two sessions are different things; servers with one secret take each other's."""
    sessions, same, others = (Sessions(secret) for secret in (b"a" * 32, b"a" * 32, b"b" * 32))
    one, two = sessions.new_id(), sessions.new_id()
    token = sessions.token(one, LOCAL)
    assert sessions.token_fits(token, one, LOCAL)
    assert same.token_fits(token, one, LOCAL)
    assert not sessions.token_fits(token, two, LOCAL)
    assert not sessions.token_fits(token, None, LOCAL)
    assert not others.token_fits(token, one, LOCAL)


def test_spans_are_told_in_their_largest_unit() -> None:
    """A time is told as a person says it; one that was not measured is not known."""
    told = [span(seconds).replace("\N{NO-BREAK SPACE}", " ") for seconds in (None, 0, 0.3, 59, 60, 7_200, 200_000)]
    assert told == ["not known", "0 s", "under 1 s", "59 s", "1 min", "2 h", "2 d"]


def test_a_plan_of_a_rebuild_shows_what_it_counted():
    """A plan shows how many memories truth has, or at least has; numbers that it does not have are not on the page."""
    unknown = dict.fromkeys(("nodes", "edges", "removed", "refused", "pending", "extracted"))
    report = {"user_id": None, "complete": True, "dry_run": True, "memories": 7, "exact": False, **unknown}
    kind, state, asked = RunKind.REBUILD, RunState.DONE, {"dry_run": True}
    view = RunView(Run(UUID(int=1), kind, None, state, asked, None, report, 1, 1, False, NOW, NOW, NOW, None))
    assert view.numbers == [("memories at least", 7)]
    assert view.sentence == "Planned: at least 7 memories to be written anew. Nothing was changed."
    assert view.applicable
