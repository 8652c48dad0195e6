"""From trained weights to a bundle: graph rewriting, quantization, parity, manifest."""
