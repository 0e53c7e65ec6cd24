#!/usr/bin/env bash
# The ten best properties for the caller, and why.
# URL=http://127.0.0.1:8000/graphql TOKEN=... examples/curl/recommend.sh
set -euo pipefail

curl --fail-with-body --silent --show-error "$URL" \
	--header "Authorization: Bearer $TOKEN" \
	--header 'Content-Type: application/json' \
	--header 'Accept: application/graphql-response+json' \
	--data @- <<'JSON'
{
	"query": "query Recommended($first: Int!) { recommendations(first: $first) { edges { node { rank score property { id address listingPrice } reasons { text } } } } }",
	"variables": { "first": 10 }
}
JSON
