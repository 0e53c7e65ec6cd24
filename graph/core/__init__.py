"""What every noun of the schema rests on: the request's context, nodes, pages, errors."""
