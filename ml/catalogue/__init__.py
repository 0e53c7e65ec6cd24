"""A tenant's properties in memory: what is looked at before it is ranked, and the ranking."""
