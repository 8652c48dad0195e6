"""A bundle's networks in other libraries: the same weights, masks and outputs."""
