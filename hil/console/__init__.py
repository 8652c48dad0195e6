"""The operator's page: what the service does, and commands to it, in a browser on this computer."""
