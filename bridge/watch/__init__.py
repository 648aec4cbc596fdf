"""In a bridge worker, beside the collector: messages that are lost are found long before their leases end.

Somebody purges a queue, a broker evicts a key, a worker drops a task that it does not know, a worker is killed: no
callback comes, and only the lease would tell. The watch looks for what must be somewhere and is nowhere.
"""
