"""Walks of a new user: the wheel in a fresh environment, and what the pages say, step by step."""
