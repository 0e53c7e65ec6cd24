"""The embeddings in Qdrant."""
