"""Trains a twin, from the start or on from a version."""
