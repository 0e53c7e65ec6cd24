"""How many examples a property-based test draws where each is dear."""

import hypothesis


def few(examples: int) -> hypothesis.settings:
    """So many in a run of fixed examples, six times as many in a random search."""
    profile = hypothesis.settings.default
    fixed = profile is None or profile.derandomize
    return hypothesis.settings(max_examples=examples if fixed else 6 * examples)
