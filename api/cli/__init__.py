"""The command line: ``diptych``."""

import sys


def main() -> None:
    """Run the command line; the entry point ``diptych``."""
    try:
        from api.cli._app import run_app  # noqa: PLC0415  # an interrupt while the modules load is no traceback either

        run_app()
    except KeyboardInterrupt:
        sys.exit(130)
