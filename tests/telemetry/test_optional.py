"""Telemetry is optional: without its extras everything else works, and a trace is nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider

from api.telemetry.tracing import Tracing, exporting, tracing
from persistence import AsyncPersistenceService
from persistence.ports.observer import UNOBSERVED

#: Makes modules as if they were not installed, by the means that importlib has for it.
HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
"""


def _run(hidden: set[str], code: str) -> subprocess.CompletedProcess[str]:
    program = f"HIDDEN = {sorted(hidden)!r}\n{HIDE}\nsys.meta_path.insert(0, Hidden())\n{code}"
    return subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)


def test_without_any_extra() -> None:
    """The packages, the command and its logs need neither prometheus_client nor opentelemetry nor FastAPI."""
    hidden = {"prometheus_client", "opentelemetry", "fastapi", "starlette"}
    code = (
        "import persistence, sync, api.telemetry, api.telemetry.logs, api.telemetry.metrics\n"
        "sys.argv = ['diptych', '--help']\nfrom api.cli import main\nmain()"
    )
    done = _run(hidden, code)
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout


def test_traces_without_their_extra() -> None:
    """Without opentelemetry the observer of traces is the one that does nothing, and nothing is exported."""
    code = (
        "from api.telemetry.tracing import tracing, exporting\n"
        "from persistence.ports.observer import UNOBSERVED\n"
        "assert tracing() is UNOBSERVED\n"
        "assert exporting({'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:1'}) is None\n"
    )
    done = _run({"opentelemetry"}, code)
    assert done.returncode == 0, done.stderr


async def test_traces_without_a_provider() -> None:
    """Where the process has no provider, spans are made of nothing, and the service works as ever."""
    assert isinstance(tracing(), Tracing)
    async with AsyncPersistenceService.connect("memory://", "memory://", observer=tracing()) as memories:
        assert (await memories.store("Ada", user_id="u1")).outcome == "in_step"


def test_nothing_is_exported_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are sent where the environment that is given names a collector, and nowhere else."""
    assert exporting({}) is None
    assert exporting({"OTEL_SERVICE_NAME": "mine"}) is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    provider = exporting({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert isinstance(provider, TracerProvider)
    assert provider.resource.attributes["service.name"] == "diptych"
    provider.shutdown()


def test_unobserved_is_what_it_says() -> None:
    """The null object takes whatever it is told."""
    from persistence.ports.observer import BreakerChanged, Call  # noqa: PLC0415  # for this test alone

    assert UNOBSERVED.began(Call("store"))() is None
    UNOBSERVED.noted(BreakerChanged("open"))
