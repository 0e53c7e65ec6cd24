"""One portfolio twin: features, towers, re-ranker, scoring, artifacts."""
