"""Speed: the whole service beside the bare interpreter, in one run."""
