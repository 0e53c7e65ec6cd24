"""The portfolio twin: how each investor buys, learned from what the investor did."""
