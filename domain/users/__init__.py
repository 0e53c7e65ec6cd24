"""Users: the members of a tenant, and what they say they want."""
