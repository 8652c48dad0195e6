"""The service process: sockets, intake, commands, telemetry, events, and the supervision of the worker."""
