"""A whole chain of trainings in minutes: on a machine with one GPU and no network, from files that travel there."""
