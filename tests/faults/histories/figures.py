"""What came of a run, in figures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.faults.histories.checker import Judgement
from tests.faults.histories.history import Verdict
from tests.faults.histories.records import Ended, Operation


@dataclass
class Figures:
    """What came of a run. ``wrong`` is what was found besides what the checker reads in the histories."""

    operations: list[Operation] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    judgement: Judgement = field(default_factory=lambda: Judgement((), {}))
    wrong: list[str] = field(default_factory=list)
    in_step_after: list[float] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        """Return every sentence that says what rule was broken."""
        found = [
            f"{finding.verdict}: {'/'.join(finding.key)}: {finding.sentence}" for finding in self.judgement.findings
        ]
        return found + self._drift() + self.wrong

    def _drift(self) -> list[str]:
        """Say what checks found: what differs is always listed, so either the check is wrong or a store is."""
        return [f"drift: {o.name} ({o.key.id}) found {o.found}: {o.error}" for o in self.operations if o.found]

    def lines(self) -> list[str]:
        """Return the figures, a line each."""
        of = Counter((o.do, o.outcome) for o in self.operations)
        done = {do: " ".join(f"{of[do, how]:,} {how}" for how in Ended) for do in sorted({do for do, _ in of})}
        faults = ", ".join(f"{number} {name}" for name, number in sorted(self.faults.items()))
        return [
            f"operations  {len(self.operations):,}",
            *(f"  {do:<9} {said}" for do, said in done.items()),
            f"faults      {self.faults.total()}: {faults}",
            "memories    " + ", ".join(f"{self.judgement.count(verdict):,} {verdict}" for verdict in Verdict),
            f"drift       {len(self._drift()) + len(self.wrong)} reports",
            "in step     after " + ", ".join(f"{seconds:.1f} s" for seconds in self.in_step_after),
        ]
