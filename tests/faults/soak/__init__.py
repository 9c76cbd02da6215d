"""A steady load on real stores with a fault every few seconds, sampled each second; at the end a verdict.

python -m tests.faults.soak --minutes 30 --seed 1 --out FOLDER

The service and its load live in a process of their own (worker.py), so that what is measured of it is the product's:
servers, proxies and faults are the other process's.
"""
