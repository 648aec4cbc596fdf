"""Torture the whole loop: real servers, real workers, publishers that roll back, and kill -9 everywhere.

Afterwards a checker that shares no code with the bridge says whether each guarantee held: `python -m tests.torture`.
"""
