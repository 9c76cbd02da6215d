"""The protocol as a model: whole it holds, and with a guard taken out it does not (docs/protocol/)."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.conftest import installed
from tests.faults.model import MODEL, MUTANTS, SCENARIOS, Mutant, explore

QUICK_SCENARIOS = ("orphan",)
QUICK_MUTANTS = ("NO_OUTBOX_IN_THE_WRITE", "NO_VERSION_CONDITION", "NO_UNKNOWN_OUTCOME", "NO_ROW_LOCK")


def _long_but(name: str, quick: tuple[str, ...]) -> list[pytest.MarkDecorator]:
    return [] if name in quick else [pytest.mark.long]


def _name(mutant: Mutant) -> str:
    return "+".join(mutant.guards)


@pytest.fixture(scope="session")
def spin() -> None:
    """See that Spin and a C compiler are there; what is missing is installed, where this can be done."""
    why = installed("spin", "gcc") if _missing() else None
    if missing := _missing():
        pytest.skip(f"The model needs {' and '.join(missing)} on the PATH. {why}")


def _missing() -> list[str]:
    return [program for program in ("spin", "gcc") if shutil.which(program) is None]


@pytest.mark.timeout(1_800)
@pytest.mark.usefixtures("spin")
@pytest.mark.parametrize("scenario", [pytest.param(name, marks=_long_but(name, QUICK_SCENARIOS)) for name in SCENARIOS])
def test_the_protocol_holds(scenario: str) -> None:
    """I1 to I5, I7, no false alarm, and quiet leads to in step: in every state that a scenario can reach."""
    found = explore(scenario)
    assert found.broken is None, "\n".join(found.story)


@pytest.mark.timeout(1_800)
@pytest.mark.usefixtures("spin")
@pytest.mark.parametrize(
    "mutant", [pytest.param(m, id=_name(m), marks=_long_but(_name(m), QUICK_MUTANTS)) for m in MUTANTS]
)
def test_a_guard_holds_up_what_the_table_says(mutant: Mutant) -> None:
    """Without its guard the protocol breaks in the property that the table names."""
    assert explore(mutant.scenario, mutant.guards).broken == mutant.breaks


def test_the_table_names_every_guard() -> None:
    """Each guard that the model can take out is tried, and is explained in the README's table."""
    guards = set(re.findall(r"#ifn?def (NO_[A-Z_]+)", MODEL.read_text("utf-8")))
    told = set(re.findall(r"NO_[A-Z_]+", (MODEL.parent / "README.md").read_text("utf-8")))
    tried = {guard for mutant in MUTANTS for guard in mutant.guards if guard.startswith("NO_")}
    assert guards == tried
    assert guards <= told
