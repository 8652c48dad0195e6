"""Running a scenario: the target, the pace, what is observed, and the verdict."""
