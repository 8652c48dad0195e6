"""JSON Schemas of the files that flight reads: bundle manifests and the service configuration."""
