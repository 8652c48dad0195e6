"""The wire contract (schema 1): topics, message types, codes, encoding, limits. The one place that knows bytes."""
