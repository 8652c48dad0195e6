"""JSON Schemas of the files that flight reads: bundle manifests, the service's configuration and its record."""
