"""Guards are load-bearing: each is taken out of a copy of this tree, one at a time, and a named test must fail.

``guards/*.toml`` lists them by area; ``make mutants`` tries them all, and prints the table.
"""
