"""Histories on real stores: processes write while a nemesis breaks everything; a checker reads what they recorded.

`python -m tests.faults.histories --help` says how it is run, `README.md` beside this file how it works.
"""
