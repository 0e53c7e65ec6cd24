/** The ten best properties for the caller, why, and what a thumb down changes. */
import { Client } from "./client.js";
import { graphql } from "./gql/index.js";

const Recommended = graphql(`
  query Recommended($first: Int!, $filter: PropertyFilter) {
    me {
      name
    }
    recommendations(first: $first, filter: $filter) {
      edges {
        node {
          rank
          score
          property {
            id
            address
            listingPrice
          }
          reasons {
            __typename
            text
          }
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`);

const Dislike = graphql(`
  mutation Dislike($propertyId: ID!) {
    submitFeedback(input: { propertyId: $propertyId, sentiment: THUMBS_DOWN, reason: "An example" }) {
      errors {
        code
        message
        path
      }
    }
  }
`);

const Retract = graphql(`
  mutation Retract($propertyId: ID!) {
    retractFeedback(input: { propertyId: $propertyId }) {
      errors {
        message
      }
    }
  }
`);

const [url, token] = [process.env["URL"], process.env["TOKEN"]];
if (!url || !token) throw new Error("Set URL and TOKEN; `twin token --help` tells how to get one.");
const client = new Client(url, token);

const before = await client.run(Recommended, { first: 10 });
console.log(`For ${before.me.name ?? "you"}:`);
for (const { node } of before.recommendations.edges) {
  const price = node.property.listingPrice?.toLocaleString("en-US") ?? "no price";
  console.log(`${node.rank}. ${node.score.toFixed(3)}  $${price}  ${node.reasons[0]?.text ?? ""}`);
}

const first = before.recommendations.edges[0]?.node.property.id;
if (first) {
  const { submitFeedback } = await client.run(Dislike, { propertyId: first });
  if (submitFeedback.errors.length > 0) throw new Error(submitFeedback.errors[0]?.message);
  const after = await client.run(Recommended, { first: 10 });
  const gone = after.recommendations.edges.every(({ node }) => node.property.id !== first);
  console.log(`After a thumb down, the first is ${gone ? "gone" : "still there"}.`);
  await client.run(Retract, { propertyId: first });
}
