"""Members: who belongs to a tenant, in which role."""
