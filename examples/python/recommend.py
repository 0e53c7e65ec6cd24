"""The ten best properties for the caller, why, and what a thumb down changes.

pip install "gql[httpx]", then:
URL=http://127.0.0.1:8000/graphql TOKEN=... python examples/python/recommend.py
"""

import os

from gql import Client, gql
from gql.transport.httpx import HTTPXTransport

RECOMMENDED = """
query Recommended($first: Int!) {
  me { name }
  recommendations(first: $first) {
    edges {
      node { rank score property { id address listingPrice } reasons { text } }
    }
  }
}
"""

THUMB_DOWN = """
mutation Dislike($propertyId: ID!) {
  submitFeedback(input: { propertyId: $propertyId, sentiment: THUMBS_DOWN, reason: "An example" }) {
    errors { code message path }
  }
}
"""

RETRACT = """
mutation Retract($propertyId: ID!) {
  retractFeedback(input: { propertyId: $propertyId }) { errors { message } }
}
"""


def main() -> None:
    """Ask, dislike the first, ask again, and take the thumb back."""
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    with Client(transport=HTTPXTransport(url=os.environ["URL"], headers=headers)) as session:

        def ask(document: str, **variables: object) -> dict[str, object]:
            request = gql(document)
            request.variable_values = variables
            return session.execute(request)

        before = ask(RECOMMENDED, first=10)
        print(f"For {before['me']['name'] or 'you'}:")
        for edge in before["recommendations"]["edges"]:
            item = edge["node"]
            why = item["reasons"][0]["text"] if item["reasons"] else ""
            print(f"{item['rank']}. {item['score']:.3f}  {item['property']['address']}  {why}")
        first = before["recommendations"]["edges"][0]["node"]["property"]["id"]
        refused = ask(THUMB_DOWN, propertyId=first)["submitFeedback"]["errors"]
        if refused:
            raise SystemExit(refused[0]["message"])
        after = ask(RECOMMENDED, first=10)
        left = [edge["node"]["property"]["id"] for edge in after["recommendations"]["edges"]]
        print(f"After a thumb down, the first is {'still there' if first in left else 'gone'}.")
        ask(RETRACT, propertyId=first)


if __name__ == "__main__":
    main()
