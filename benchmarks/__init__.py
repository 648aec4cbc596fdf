"""How fast the bridge is, beside what it is compared with: every figure measured side by side in one run, as ratios.

`python -m benchmarks` starts its own servers and workers and stops them again. Nothing here asserts a time: a shared
machine makes absolute figures meaningless, so what counts are ratios of rounds that ran next to each other.
"""
