"""Trained twins at work: loading, retrieval, inference."""
