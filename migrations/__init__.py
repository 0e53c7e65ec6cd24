"""Schema migrations, run by the role that owns the tables."""
