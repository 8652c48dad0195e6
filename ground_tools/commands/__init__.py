"""Every command line of `ground-tools`; no other folder imports this one."""
