"""The Moon's surface for hazard avoidance: sky, ground, small and large rocks."""
