"""Interactions: what users did with properties, and the histories made of them."""
