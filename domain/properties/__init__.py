"""Properties: the table, reading, searching, counting and writing them."""
