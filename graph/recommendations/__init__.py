"""Recommendations, similar properties and users, and reasons in the schema."""
