"""Interactions and feedback in the schema."""
