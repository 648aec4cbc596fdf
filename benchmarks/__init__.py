"""Measure how fast the bridge is, side by side with other ways to do the same, and report ratios.

`python -m benchmarks` starts its own servers and workers and stops them again. Nothing here asserts a time: on a shared
machine absolute figures mean little, while ratios of rounds that ran next to each other hold.
"""
