"""What people do: look, pause, move, replay, redrive. Each verb is a function that anybody can call."""
