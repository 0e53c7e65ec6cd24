"""The weights that several fields share, in points. The others stand where their field does."""

QUERY = 10
"""A query of its own: a page of rows, a count."""

SEARCH = 20
"""A search of the index, and a query for the rows found."""

RANKING = 50
"""A ranked list of an investor: a search of the index and a batch of the model."""

AUDIENCE = 100
"""The investors whom a property would suit: a search, and hundreds of histories and scores."""

WRITE = 10
"""A transaction that writes, and what follows from it."""
