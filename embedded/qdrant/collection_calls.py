"""The calls of the service qdrant.Collections."""

from qdrant_client import grpc as messages

from embedded.qdrant.collections import CollectionStore
from embedded.qdrant.creation import read_update, write_config, write_index


class CollectionCalls:
    """Create, delete, list and describe collections."""

    def __init__(self, store: CollectionStore) -> None:
        self._store = store

    def create(self, request: messages.CreateCollection) -> messages.CollectionOperationResponse:
        """Create a collection with a single, unnamed, dense vector."""
        self._store.create(request)
        return messages.CollectionOperationResponse(result=True)

    def update(self, request: messages.UpdateCollection) -> messages.CollectionOperationResponse:
        """Change how a collection's vectors are quantized; they are by and by."""
        wanted = read_update(request)
        self._store.get(request.collection_name).quantize(wanted)
        return messages.CollectionOperationResponse(result=True)

    def delete(self, request: messages.DeleteCollection) -> messages.CollectionOperationResponse:
        """Delete a collection; the result is false where there is none."""
        found = self._store.delete(request.collection_name)
        return messages.CollectionOperationResponse(result=found)

    def exists(
        self, request: messages.CollectionExistsRequest
    ) -> messages.CollectionExistsResponse:
        """Whether a collection exists."""
        exists = request.collection_name in self._store.names()
        return messages.CollectionExistsResponse(result=messages.CollectionExists(exists=exists))

    def list(self, _request: messages.ListCollectionsRequest) -> messages.ListCollectionsResponse:
        """The names of all collections."""
        return messages.ListCollectionsResponse(
            collections=[messages.CollectionDescription(name=name) for name in self._store.names()]
        )

    def get(self, request: messages.GetCollectionInfoRequest) -> messages.GetCollectionInfoResponse:
        """Size, state, configuration and payload indexes of a collection."""
        collection = self._store.get(request.collection_name)
        with collection.shard() as shard:
            info = shard.info()
        schema = {name: write_index(index) for name, index in info.payload_schema.items()}
        return messages.GetCollectionInfoResponse(
            result=messages.CollectionInfo(
                status=messages.CollectionStatus.Yellow
                if collection.is_optimizing
                else messages.CollectionStatus.Green,
                optimizer_status=messages.OptimizerStatus(ok=True),
                segments_count=info.segments_count,
                points_count=info.points_count,
                indexed_vectors_count=info.indexed_vectors_count,
                config=write_config(collection.creation),
                payload_schema=schema,
            )
        )
