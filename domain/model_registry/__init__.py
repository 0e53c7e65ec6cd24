"""The model registry: versions of the twin, their gates, promotion, drift and retention."""
