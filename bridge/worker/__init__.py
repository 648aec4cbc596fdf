"""Station 4, in the fleet's own worker: events are handled.

What is here runs in the fleet's worker, not in the bridge's. A fleet needs none of this. Where it installs the bridge,
its workers report outcomes for less, and handlers can make their effect exactly once.
"""
