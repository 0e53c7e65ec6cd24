"""A tenant's properties as arrays in memory."""
