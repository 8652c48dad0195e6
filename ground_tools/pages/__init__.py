"""Tables, charts and pages for people, and the figures that commands write into docs/."""
