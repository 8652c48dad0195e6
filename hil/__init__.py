"""Hardware in the loop: streaming simulated flybys at the service and watching what it publishes."""
