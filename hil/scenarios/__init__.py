"""What is run against a service: scenario files, their fields, and the scenarios that are shipped."""
