"""What a run found and did, as a sentence: the first thing that a person reads."""

from __future__ import annotations

from api.cli._output import one_line
from api.shapes import Json
from persistence.ports.runs import Kind
from sync import Depth

_CLOSELY = {
    Depth.QUICK: "",
    Depth.STRUCTURE: ", edges included,",
    Depth.FULL: ", every property included,",
}
_USER_SHOWN = 80


def number(count: int, one: str, many: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many}"


def whose(user_id: str | None) -> str:
    """Return whose memories are meant, nothing where all are."""
    return "" if user_id is None else f" of {one_line(user_id, _USER_SHOWN)}"


def took(report: Json) -> str:
    """Return how long it took."""
    return f"{report['duration_ms'] / 1_000:,.1f} s"


def _memories(report: Json) -> str:
    count = report["checked"]["vector"]
    return f"{number(count, 'memory', 'memories') if count else 'no memories'}{whose(report['user_id'])}"


def _found(report: Json) -> str:
    return number(report["found"], "inconsistency", "inconsistencies")


def _how(report: Json) -> str:
    if not report["independent"]:
        return "as this process itself projects them: there is no second copy to compare with"
    return f"checked both ways{_CLOSELY[Depth(report['depth'])]} in {took(report)}"


def _pending(report: Json) -> str:
    dead = f", {report['dead']:,} of them dead" if report["dead"] else ""
    return f"{report['pending']:,} pending{dead}"


def check_sentence(report: Json) -> str:
    """Return what a check found."""
    if not report["complete"]:
        return f"Incomplete: not everything could be read. {_found(report)} in {_memories(report)}, in {took(report)}."
    if report["found"]:
        besides = f" Besides, {_pending(report)}." if report["pending"] else ""
        return f"Not in step: {_differing(report)}, {_how(report)}.{besides}"
    if report["pending"]:
        return f"{_pending(report)}; the rest is in step: {_memories(report)}, {_how(report)}."
    return f"In step: {_memories(report)}, {_how(report)}."


def _differing(report: Json) -> str:
    """Say how many differ: a quick check finds one thing at most of each memory, in truth or in the graph alone."""
    if report["depth"] != Depth.QUICK:
        return f"{_found(report)} in {_memories(report)}"
    both = report["checked"]["vector"] + report["counts"].get(Kind.ORPHAN.value, 0)
    verb = "differs" if report["found"] == 1 else "differ"
    return f"{report['found']:,} of {number(both, 'memory', 'memories')}{whose(report['user_id'])} {verb}"


def repair_sentence(report: Json) -> str:
    """Return what a repair did, or would do."""
    if not report["complete"]:
        return f"Incomplete: not everything could be read. {report['repaired']:,} of {_found(report)} mended."
    if not report["found"]:
        return f"Nothing to mend: {_memories(report)}, {_how(report)}."
    if report["dry_run"]:
        return f"Planned: {report['planned']:,} of {_found(report)} can be mended. Nothing was changed."
    return f"Mended: {report['repaired']:,} of {_found(report)}, in {took(report)}."


def repair_numbers(report: Json) -> str:
    """Return what became of what was found."""
    return ", ".join(f"{report[name]:,} {name}" for name in ("planned", "repaired", "refused", "failed"))


def rebuild_sentence(report: Json) -> str:
    """Return what a rebuild wrote."""
    if report["dry_run"]:
        return _plan_sentence(report)
    done = f"{number(report['memories'], 'memory', 'memories')}{whose(report['user_id'])}"
    written = f"{done}, {number(report['edges'], 'edge', 'edges')} written anew in {took(report)}"
    return f"{'Rebuilt' if report['complete'] else 'Incomplete'}: {written}."


def _plan_sentence(report: Json) -> str:
    """Return what a rebuild would do: a plan counts truth and nothing else."""
    if report["memories"] is None:
        return "Incomplete: truth could not be read. Nothing was changed."
    least = "" if report.get("exact", True) else "at least "
    count = f"{least}{number(report['memories'], 'memory', 'memories')}{whose(report['user_id'])}"
    return f"Planned: {count} to be written anew. Nothing was changed."


def rebuild_numbers(report: Json) -> str:
    """Return the rest of what a rebuild has to say."""
    named = [f"{report[name]:,} {name}" for name in ("removed", "refused", "pending", "extracted") if report[name]]
    nodes = [] if report["nodes"] is None else [f"{number(report['nodes'], 'node', 'nodes')} in the graph"]
    rate = (report["memories"] + report["edges"]) / max(report["duration_ms"] / 1_000, 1e-3)
    return ", ".join([*nodes, f"{rate:,.0f} memories and edges a second", *named])
