"""When a check is due again: intervals with jitter, cron expressions, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.errors import ConfigurationError
from persistence.ports.runs import Depth
from persistence.settings import PersistenceConfig
from sync.timing import Cron, Every, timing_of, timings_of, zone_of

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("15m", 900), ("6h", 21_600), ("7d", 604_800), ("2w", 1_209_600), ("1h30m", 5_400), (" 90s ", 90)],
)
def test_an_interval_is_numbers_with_units(text, seconds):
    """An interval is read as the sum of its parts, and the next time is so many seconds later."""
    timing = timing_of("sync_quick_every", text)
    assert timing == Every(seconds)
    assert timing.next(NOON, 7) == NOON + timedelta(seconds=seconds)


@given(seed=st.integers(0, 2**128 - 1), jitter=st.floats(0, 1), seconds=st.integers(1, 10**6))
def test_jitter_only_lengthens_and_is_the_same_everywhere(seed, jitter, seconds):
    """Whoever asks gets the same next time for the same run, never early, never later than the share allows."""
    every = Every(seconds, jitter)
    wait = every.next(NOON, seed) - NOON
    assert timedelta(seconds=seconds) <= wait <= timedelta(seconds=seconds * (1 + jitter))
    assert every.next(NOON, seed) - NOON == wait


def test_jitter_spreads():
    """Different runs get different times, so that deployments do not march in step."""
    assert len({Every(900, 0.1).next(NOON, seed) for seed in range(1_000)}) == 1_000


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 3 * * *", "2026-02-01T03:00+00:00"),
        ("*/15 * * * *", "2026-01-31T12:15+00:00"),
        ("30 2 * * MON", "2026-02-02T02:30+00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00+00:00"),
    ],
)
def test_a_cron_expression_names_times(expression, expected):
    """The next time is the first one after the given, not the given itself."""
    timing = timing_of("sync_full_every", expression)
    assert timing == Cron(expression)
    assert timing.next(NOON, 7) == at(expected)
    assert timing.next(at(expected), 7) > at(expected)


def test_a_cron_expression_is_read_by_the_clocks_of_its_zone():
    """Three o'clock is three o'clock there, in winter and in summer; the answer is in UTC."""
    timing = timing_of("sync_full_every", "0 3 * * *", zone=BERLIN)
    assert timing.next(NOON, 0) == at("2026-02-01T02:00+00:00")
    assert timing.next(at("2026-07-01T12:00+00:00"), 0) == at("2026-07-02T01:00+00:00")
    assert timing.next(NOON, 0).tzinfo is UTC


def test_a_time_that_the_clocks_skip_or_repeat_comes_once():
    """In the night when clocks go forward it comes right after the gap; when they go back, it comes once."""
    timing = Cron("30 2 * * *", BERLIN)
    assert timing.next(at("2026-03-28T12:00+00:00"), 0) == at("2026-03-29T01:00+00:00")
    first = timing.next(at("2026-10-24T12:00+00:00"), 0)
    assert first == at("2026-10-25T00:30+00:00")
    assert timing.next(first, 0) == at("2026-10-26T01:30+00:00")


@pytest.mark.parametrize("text", ["", "   "])
def test_empty_is_never(text):
    """An empty setting switches a depth off."""
    assert timing_of("sync_full_every", text) is None


@pytest.mark.parametrize(
    "text",
    [
        "0s", "15", "m", "15 m", "-5m", "1.5h", "367d", "99999999999d", "15M", "\u0661\u0665m", "15m, 6h",
        "0 3 * *", "* * * * * *", "60 * * * *", "0 0 30 2 *", "* * */20 * 1L", "x y z a b", "@daily",
    ],
)  # fmt: skip
def test_what_is_neither_is_refused(text):
    """What cannot be read, or never comes, is one sentence that names the setting and says what to write."""
    with pytest.raises(ConfigurationError, match="sync_full_every") as caught:
        timing_of("sync_full_every", text)
    assert caught.value.hint is not None
    assert "15m" in caught.value.hint


@pytest.mark.parametrize("name", ["Nowhere/Atlantis", "", "../etc/passwd", "Europe"])
def test_an_unknown_time_zone_is_refused(name):
    """A time zone that is not on this machine is one sentence."""
    with pytest.raises(ConfigurationError, match="time zone"):
        zone_of(name)


def test_the_defaults_are_a_schedule():
    """Without any setting, quick checks are made often, structure checks rarer, full checks by night."""
    timings = timings_of(PersistenceConfig())
    assert timings == {Depth.QUICK: Every(900, 0.1), Depth.STRUCTURE: Every(21_600, 0.1), Depth.FULL: Cron("0 3 * * *")}
    assert PersistenceConfig().sync_policy == "report_only"


def test_settings_come_from_the_environment(monkeypatch):
    """Each depth, the zone and the policy is a setting; a wrong policy is named with what is allowed."""
    monkeypatch.setenv("DIPTYCH_SYNC_QUICK_EVERY", "1m")
    monkeypatch.setenv("DIPTYCH_SYNC_STRUCTURE_EVERY", "")
    monkeypatch.setenv("DIPTYCH_SYNC_FULL_EVERY", "0 4 * * *")
    monkeypatch.setenv("DIPTYCH_SYNC_TIMEZONE", "Europe/Berlin")
    monkeypatch.setenv("DIPTYCH_SYNC_JITTER", "0")
    timings = timings_of(PersistenceConfig.load())
    assert timings == {Depth.QUICK: Every(60), Depth.FULL: Cron("0 4 * * *", BERLIN)}
    monkeypatch.setenv("DIPTYCH_SYNC_POLICY", "delete_all")
    with pytest.raises(ConfigurationError, match=r"sync_policy.*report_only"):
        PersistenceConfig.load()


def test_the_webhook_url_is_a_secret():
    """Neither the settings nor a dump of them shows it."""
    config = PersistenceConfig(sync_webhook_url="https://hooks.example.com/T00/hunter2")
    assert "hunter2" not in repr(config)
    assert "hunter2" not in str(config.model_dump())
