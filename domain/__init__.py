"""Tables, rules and queries, one noun a module. Imports nothing else of this project."""
