"""Station 2, in a bridge worker: events are handed over.

Beat starts the loop; each of its passes takes one client's next final events, sends them, and remembers them as
deliveries.
"""
