"""Malformed and hostile requests, made from a seed, and what may be answered to them."""
