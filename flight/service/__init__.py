"""The service process: sockets, frames, commands, telemetry, events, and the supervision of the worker."""
