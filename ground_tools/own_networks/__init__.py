"""Bundles around networks of other recipes: what is in the file, what has to be stated, and a look at the maps."""
