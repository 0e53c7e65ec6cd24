"""Figures that trainings, gates and evaluation share: how well something ranks, and drift."""
