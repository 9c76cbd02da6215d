"""An error as a person meets it: one sentence, what to try, and with ``-v`` what lies under it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator

from rich.text import Text

from api.cli._output import Output, one_line, printable
from persistence.errors import PersistenceError

UNEXPECTED_HINT = "the same command with -v, which shows where it happened"


def find_ours(error: BaseException) -> BaseException:
    """Return the error of ours inside nested groups, or the first error in them."""
    leaves = list(_leaves(error))
    return next((leaf for leaf in leaves if isinstance(leaf, PersistenceError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def sentence_and_hint(error: BaseException) -> tuple[str, str | None]:
    """Return what happened and what to do, both without the text of a driver."""
    if isinstance(error, PersistenceError):
        return error.message, error.hint
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}.", None
    return f"Something unexpected happened ({type(error).__name__}).", UNEXPECTED_HINT


def report(error: BaseException, output: Output, mask: Callable[[str], str], *, verbose: bool) -> None:
    """Print an error to stderr. Its causes and its traceback only where ``verbose``."""
    found = find_ours(error)
    sentence, hint = sentence_and_hint(found)
    output.note(Text.assemble(("Error: ", "bold red"), one_line(mask(sentence))))
    if hint:
        output.note(Text.assemble(("Try: ", "bold"), one_line(mask(hint))))
    if verbose:
        _report_causes(found, output, mask)
        output.note(printable(mask("".join(traceback.format_exception(error)))), style="dim")


def _report_causes(error: BaseException, output: Output, mask: Callable[[str], str]) -> None:
    cause = error.__cause__
    while cause is not None:
        output.note(f"Cause: {type(cause).__name__}: {one_line(mask(str(cause)))}")
        cause = cause.__cause__
