"""The model registry in the schema."""
