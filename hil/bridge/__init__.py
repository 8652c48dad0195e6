"""The bridge to ground systems: CCSDS space packets by ECSS's packet utilization standard, and their XTCE."""
