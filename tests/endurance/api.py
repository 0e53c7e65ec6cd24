"""The questions over HTTP, and whoever asks them."""

from collections.abc import Mapping
from typing import Any

import httpx

RECOMMENDATIONS = """
query ($user: ID!, $after: String) {
  recommendations(userId: $user, first: 20, after: $after, history: ANY) {
    edges { cursor node { rank score modelVersion property { id } } }
    pageInfo { hasNextPage endCursor }
  }
}
"""
SIMILAR = """
query ($property: ID!) {
  similarProperties(propertyId: $property, first: 10) {
    edges { similarity node { id } }
  }
}
"""
AFFINITY = """
query ($user: ID!, $properties: [ID!]!) {
  affinity(userId: $user, propertyIds: $properties) { score property { id } }
}
"""
PROPERTY = "query ($property: ID!) { property(id: $property) { id listingPrice } }"
ACTIVE = "{ activeModel { id number } }"
FEEDBACK = """
mutation ($input: SubmitFeedbackInput!) {
  submitFeedback(input: $input) { feedback { sentiment } errors { code message } }
}
"""
UPSERT = """
mutation ($input: UpsertPropertiesInput!) {
  upsertProperties(input: $input) { properties { id externalId } errors { code message } }
}
"""
DELETE = """
mutation ($input: DeletePropertyInput!) {
  deleteProperty(input: $input) { deletedPropertyId errors { code message } }
}
"""
REINDEX = """
mutation { startReindex(input: { full: true }) { job { id } errors { code message } } }
"""
ACTIVATE = """
mutation ($input: ActivateModelInput!) {
  activateModel(input: $input) { modelVersion { number status } job { id } errors { code message } }
}
"""


class UnansweredError(Exception):
    """A request that got no answer, or an answer with an error.

    Attributes:
        code: of the error, the HTTP status, or the name of what the connection met.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Caller:
    """A principal of a tenant that asks the server; one connection pool for all."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, document: str, variables: Mapping[str, Any] | None = None) -> Any:
        """The data of the answer. Raises UnansweredError for anything but data without errors."""
        body = {"query": document, "variables": dict(variables or {})}
        try:
            answer = await self._client.post("/graphql", json=body, headers=self._headers)
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise UnansweredError(type(error).__name__, str(error)) from error
        errors = found.get("errors")
        if errors:
            code = errors[0].get("extensions", {}).get("code", "?")
            raise UnansweredError(code, errors[0]["message"])
        if answer.status_code != 200:
            raise UnansweredError(str(answer.status_code), answer.text[:200])
        data = found["data"]
        for payload in data.values():
            if isinstance(payload, dict) and payload.get("errors"):
                first = payload["errors"][0]
                raise UnansweredError(first["code"], first["message"])
        return data
