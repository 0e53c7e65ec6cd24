"""Tenants: the firms, what each of them sets, and what it compares."""
