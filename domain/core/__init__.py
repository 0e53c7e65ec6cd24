"""What every noun rests on: the database, units of work, errors, events, leases."""
