"""Properties in the schema."""
