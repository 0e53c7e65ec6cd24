"""Changes: what was overwritten or deleted, kept for a while."""
