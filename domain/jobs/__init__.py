"""Jobs: their runs, and the index outbox."""
