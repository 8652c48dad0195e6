"""Other missions on the same platform: classes, importers, landscapes, evaluation."""
