"""What serves the schema: HTTP, documents, operations, GraphiQL, logs and metrics."""
