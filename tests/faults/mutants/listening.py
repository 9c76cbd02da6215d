"""A plugin of pytest's for the runs in a copy: writes down how each test ended, and what did not come from the copy."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

OURS = ("persistence", "sync", "api")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--told", help="the file that is written")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Listening(config.rootpath, Path(config.getoption("--told"))))


class Listening:
    """``ended``: of each test the outcome and what it said; of several phases the one that went wrong counts."""

    def __init__(self, root: Path, told: Path) -> None:
        self._root = root
        self._told = told
        self.ended: dict[str, tuple[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed" and report.nodeid not in self.ended:
            failed = report.outcome if report.when == "call" or report.skipped else "error"
            self.ended[report.nodeid] = (failed, _said(report))
        elif report.when == "teardown":
            self.ended.setdefault(report.nodeid, ("passed", ""))

    def pytest_sessionfinish(self) -> None:
        self._told.write_text(json.dumps({"ended": self.ended, "foreign": self._foreign()}), "utf-8")

    def _foreign(self) -> list[str]:
        """Return our modules that were loaded from elsewhere."""
        files = [getattr(m, "__file__", None) for name, m in [*sys.modules.items()] if name.split(".")[0] in OURS]
        return sorted(file for file in files if file and not Path(file).is_relative_to(self._root))


def _said(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return (crash.message if crash else str(report.longrepr)).strip().partition("\n")[0][:300]
