"""Hand labels of real images: files, proposals, sheets to look at, checks, and the way to masks."""
