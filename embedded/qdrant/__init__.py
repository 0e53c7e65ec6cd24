"""Qdrant's own protocol over Qdrant Edge: the engine is Qdrant's, the server is this package.

Qdrant has no wheel of its server; Edge, its engine as a library, lets a single process open a
shard. This process owns the shards, one collection each, and answers Qdrant's gRPC calls from
them, so that every other process uses the ordinary qdrant-client. What is not implemented here
is answered with UNIMPLEMENTED and its name.

    service.py        how the keeper runs the process
    __main__.py       the process
    server.py         every call by name, and how errors are answered
    *_calls.py        the calls
    collections.py    the collections on disk: created, opened, kept up, deleted
    optimization.py   the building of indexes, in another process
    creation.py       parameters of collections and payload indexes, both ways
    points.py         ids, payloads and vectors, both ways
    filters.py        filters, to Edge
    messages.py       Qdrant's messages, imported without its client
    refusal.py        errors with a gRPC status
"""
