"""Keep the log from growing for ever: remove old events that nobody needs any more."""
