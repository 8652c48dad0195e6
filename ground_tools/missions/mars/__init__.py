"""The terrain of Mars as rovers see it: soil, bedrock, sand, big rocks."""
