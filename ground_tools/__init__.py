"""What stays on the ground: rendering labelled images, training the networks, exporting bundles."""
