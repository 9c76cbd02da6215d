"""The files of deploy/: each metric, label and value in them is one that the code exports; Prometheus takes them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.telemetry.metrics import METRICS, Metric
from persistence.ports.observer import Part
from persistence.ports.runs import Depth, Kind
from persistence.results import Outcome
from tests.conftest import installed, missing

ROOT = Path(__file__).parents[2] / "deploy"
ALERTS = ROOT / "prometheus" / "alerts.yml"
CONFIG = ROOT / "prometheus" / "prometheus.yml"
DASHBOARD = ROOT / "grafana" / "diptych.json"

EXPORTED: dict[str, Metric] = {name: metric for metric in METRICS for name in metric.exposed}
#: Labels that Prometheus adds itself, and the one of a histogram's buckets.
ADDED = {"job", "instance", "le"}
VALUES = {
    "store": {Part.TRUTH, Part.GRAPH},
    "model": {Part.EMBEDDER, Part.EXTRACTOR},
    "inconsistency": set(Kind),
    "depth": set(Depth),
    "outcome": {*Outcome, "ok", "degraded", "refused", "unknown", "failed", "applied", "dead"},
    "status": {"2xx", "3xx", "4xx", "5xx", "aborted"},
    "state": {"pending", "dead", "idle", "used", "limit", "open", "closed"},
}
_SELECTOR = re.compile(r"\b(diptych_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


def rules() -> list[dict[str, Any]]:
    """Return the alerts."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels that show something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    """Yield every query of both files."""
    for rule in rules():
        yield rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"]
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        yield variable.get("definition", "")


@pytest.mark.parametrize("query", sorted(set(expressions())))
def test_each_name_in_a_query_is_exported(query: str) -> None:
    """Metrics are ours, labels are those of their metric, and values are those that the code gives."""
    labels: set[str] = set()
    for name, selected in _SELECTOR.findall(query):
        assert name in EXPORTED
        allowed = {*EXPORTED[name].labels, *ADDED}
        labels |= allowed
        for label, value in _MATCHER.findall(selected):
            assert label in allowed
            if label in VALUES:
                assert set(value.split("|")) <= VALUES[label]
    for grouped in _GROUPING.findall(query):
        assert {label.strip() for label in grouped.split(",")} <= labels | ADDED


def test_nothing_is_left_unwatched() -> None:
    """Each metric is on the dashboard or in an alert, but for those that another one there already says."""
    text = " ".join(expressions())
    unseen = {metric.name for metric in METRICS if not any(name in text for name in metric.exposed)}
    assert unseen == {
        "diptych_call_last_success_timestamp_seconds",
        "diptych_store_call_last_success_timestamp_seconds",
        "diptych_relay_last_success_timestamp_seconds",
        "diptych_run_last_success_timestamp_seconds",
        "diptych_run_duration_seconds",
        "diptych_store_ping_seconds",
    }


def test_each_alert_says_what_to_do() -> None:
    """An alert has a time for which it has to be so, a severity, a sentence that says what is, and one what to do."""
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert rule["alert"].startswith("Diptych")
        assert re.fullmatch(r"\d+[mh]", rule["for"])
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"].endswith(".")
        assert len(rule["annotations"]["runbook"]) > 40


def test_each_panel_says_what_it_shows() -> None:
    """A panel has a title, a place of its own, a source that is chosen above, and a query or more."""
    shown = panels()
    assert len({panel["id"] for panel in shown}) == len(shown)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in shown]
    assert len(set(places)) == len(places)
    for panel in shown:
        assert panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]


def test_the_configuration_names_the_rules() -> None:
    """prometheus.yml scrapes the route that there is, and takes the alerts that lie beside it."""
    config = yaml.safe_load(CONFIG.read_text())
    assert config["rule_files"] == [ALERTS.name]
    assert config["scrape_configs"][0]["metrics_path"] == "/metrics"
    assert config["scrape_configs"][0]["job_name"] == "diptych"


# --- with Prometheus's own tool -------------------------------------------------------------------------------------


@pytest.fixture
def promtool() -> Iterator[Any]:
    """Return what runs promtool with arguments and fails with what it says."""
    if shutil.which("promtool") is None and (why := installed("prometheus")):
        missing(why)
    program = str(shutil.which("promtool"))

    def run(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_prometheus_takes_the_configuration(promtool: Any) -> None:
    """Promtool finds no fault with prometheus.yml and the alerts."""
    promtool("check", "config", str(CONFIG))


def test_prometheus_takes_the_queries_of_the_dashboard(promtool: Any, tmp_path: Path) -> None:
    """Each query of the dashboard is PromQL, once Grafana has put its variables in."""
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    put_in = [query.replace("$__rate_interval", "5m").replace("$job", "diptych") for query in queries]
    named = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(put_in)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": named}]}))
    promtool("check", "rules", str(file))


#: Series (values a minute), when it is looked, and the alerts that fire then.
STORIES: dict[str, tuple[dict[str, str], str, set[str]]] = {
    "all is well": (
        {
            'up{job="diptych"}': "1x120",
            'diptych_store_up{job="diptych",store="truth"}': "1x120",
            'diptych_store_up{job="diptych",store="graph"}': "1x120",
            'diptych_breaker_open{job="diptych"}': "0x120",
            'diptych_outbox_oldest_age_seconds{job="diptych"}': "0x120",
            'diptych_outbox_entries{job="diptych",state="dead"}': "0x120",
            'diptych_inconsistencies_open{job="diptych",inconsistency="missing_in_graph"}': "0x120",
            'diptych_check_last_timestamp_seconds{job="diptych",depth="quick"}': "0+60x120",
            'diptych_check_last_complete{job="diptych",depth="quick"}': "1x120",
            'diptych_state_last_success_timestamp_seconds{job="diptych"}': "0+60x120",
            'diptych_writes_total{job="diptych",operation="store",outcome="failed"}': "0x120",
            'diptych_call_duration_seconds_count{job="diptych",operation="store"}': "0+60x120",
        },
        "100m",
        set(),
    ),
    "the graph is away, and the outbox grows old": (
        {
            'diptych_store_up{job="diptych",store="graph"}': "1x9 0x30",
            'diptych_breaker_open{job="diptych"}': "0x9 1x30",
            'diptych_outbox_oldest_age_seconds{job="diptych"}': "0x9 0+60x30",
            'diptych_check_last_timestamp_seconds{job="diptych",depth="quick"}': "0+60x40",
        },
        "30m",
        {"DiptychGraphAway", "DiptychOutboxOld"},
    ),
    "truth is away": (
        {
            'diptych_store_up{job="diptych",store="truth"}': "1x9 0x30",
            'diptych_state_last_success_timestamp_seconds{job="diptych"}': "0+60x9 540x30",
        },
        "30m",
        {"DiptychTruthUnreachable", "DiptychStateUnknown"},
    ),
    "the state was never read": (
        {'diptych_state_last_success_timestamp_seconds{job="diptych"}': " ".join(["NaN"] * 30)},
        "20m",
        {"DiptychStateUnknown"},
    ),
    "drift that stays, and dead entries": (
        {
            'diptych_inconsistencies_open{job="diptych",inconsistency="orphan_in_graph"}': "0x5 3x30",
            'diptych_outbox_entries{job="diptych",state="dead"}': "0x5 2x30",
        },
        "30m",
        {"DiptychDrift", "DiptychDeadEntries"},
    ),
    "nobody checks any more": (
        {
            'diptych_check_last_timestamp_seconds{job="diptych",depth="quick"}': "0x120",
            'diptych_store_up{job="diptych",store="truth"}': "1x120",
        },
        "90m",
        {"DiptychNoCheckLately"},
    ),
    "nobody ever checked": ({'diptych_store_up{job="diptych",store="truth"}': "1x120"}, "90m", {"DiptychNeverChecked"}),
    "writes and requests fail": (
        {
            'diptych_writes_total{job="diptych",operation="store",outcome="failed"}': "0+10x60",
            'diptych_writes_total{job="diptych",operation="store",outcome="in_step"}': "0+50x60",
            'diptych_call_duration_seconds_count{job="diptych",operation="store"}': "0+60x60",
            'diptych_http_requests_total{job="diptych",method="GET",route="/memories",status="5xx"}': "0+1x60",
            'diptych_http_requests_total{job="diptych",method="GET",route="/memories",status="2xx"}': "0+9x60",
        },
        "30m",
        {"DiptychWritesFail", "DiptychRequestsFail"},
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_alerts_fire_when_they_should(promtool: Any, tmp_path: Path, story: str) -> None:
    """In each story the alerts that should fire do, and no other does."""
    series, at, expected = STORIES[story]
    quiet = [
        {"eval_time": at, "alertname": rule["alert"], "exp_alerts": []}
        for rule in rules()
        if rule["alert"] not in expected
    ]
    firing = 'count(ALERTS{{alertstate="firing",alertname="{}"}}) > bool 0'
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": quiet,
        "promql_expr_test": [
            {"expr": firing.format(name), "eval_time": at, "exp_samples": [{"labels": "{}", "value": 1}]}
            for name in sorted(expected)
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", str(file))
