"""Trained twins and catalogues at work: loading, following, inference."""
