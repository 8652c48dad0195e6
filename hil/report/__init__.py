"""What a run leaves for people and programs: one HTML file, JSON, JUnit XML."""
