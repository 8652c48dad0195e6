"""Golden vectors: every kind of message, encoded once and for all."""
