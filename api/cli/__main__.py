"""The same as the command ``diptych``, for ``python -m api.cli``."""

from api.cli import main

main()
