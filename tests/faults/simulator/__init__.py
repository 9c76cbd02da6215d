"""The whole of the product in one process, on stores in memory, in a world where time, order and faults are a seed's.

python -m tests.faults.simulator --seed 123          # replay one
python -m tests.faults.simulator --seed 123 --shrink # and find the least that still fails
python -m tests.faults.simulator --seeds 10000       # look for one that fails
"""
