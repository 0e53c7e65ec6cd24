"""Jobs in the schema."""
