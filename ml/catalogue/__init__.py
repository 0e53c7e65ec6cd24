"""A tenant's properties as arrays in memory: filters, candidate generation and ranking."""
