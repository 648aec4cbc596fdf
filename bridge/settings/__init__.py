"""Everything that can be set: of the bridge (`bridge`) and of each client (`client`).

A setting is decided once, as a field of a dataclass: its name, type, default, range and help text. Checks and
command-line options are derived from the fields. The columns, the arguments of `bridge.client` and the tables in the
docs are copies; tests hold them to the fields.
"""
