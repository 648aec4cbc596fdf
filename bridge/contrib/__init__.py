"""The bridge in other frameworks. Nothing in the rest of the package imports it."""
