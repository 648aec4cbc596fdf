"""One tree's half of `benchmarks.alternate`: measures what it is told on standard input.

It runs with the packages of the tree that it measures, which may be older than these files. So it imports its own
modules relatively, and all others only when they are needed.
"""
