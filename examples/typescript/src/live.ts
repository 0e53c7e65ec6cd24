/** Follow the caller's list: whenever it changes, print its first five. Ends after SECONDS. */
import { createClient } from "graphql-ws";
import { graphql } from "./gql/index.js";
import type { LiveSubscription } from "./gql/graphql.js";

const Live = graphql(`
  subscription Live {
    recommendationsChanged {
      causes
      user {
        recommendations(first: 5) {
          edges {
            node {
              rank
              score
              property {
                address
              }
            }
          }
        }
      }
    }
  }
`);

const [url, token] = [process.env["URL"], process.env["TOKEN"]];
if (!url || !token) throw new Error("Set URL and TOKEN; `twin token --help` tells how to get one.");

const client = createClient({
  url: url.replace(/^http/, "ws"),
  connectionParams: { Authorization: `Bearer ${token}` },
  // Node.js 22 has WebSocket built in; it is there behind a flag from 20.10 on.
  webSocketImpl: WebSocket,
});
setTimeout(() => void client.dispose(), Number(process.env["SECONDS"] ?? 3600) * 1000);

for await (const { data, errors } of client.iterate<LiveSubscription>({ query: Live.toString() })) {
  if (errors) throw new Error(errors[0]?.message);
  const change = data?.recommendationsChanged;
  console.log(change?.causes.join(", "));
  for (const { node } of change?.user.recommendations.edges ?? []) {
    console.log(`  ${node.rank}. ${node.score.toFixed(3)}  ${node.property.address ?? ""}`);
  }
}
