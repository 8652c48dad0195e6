"""JSON Schemas of the message headers, ICD schema 1."""
