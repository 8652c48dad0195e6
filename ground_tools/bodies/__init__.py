"""Enhanced bodies: base shapes with roughness, craters and boulders."""
