"""What people do: look, pause, move, replay, redrive. `bridge.Operator` has every verb; the rest stands behind it."""
