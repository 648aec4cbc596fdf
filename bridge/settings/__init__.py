"""Everything that can be set: of the bridge (`bridge`) and of each client (`client`).

A setting is told once, as a field of a dataclass: its name, type, default, range and help text. Checks, command-line
options and the tables in the docs are derived from the fields.
"""
