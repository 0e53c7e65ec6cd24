"""All that ml may import of the domain: values and rules, no database."""
