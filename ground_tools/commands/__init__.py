"""The commands of `ground-tools`, one module each: `add_parser` adds its options, `run` does what they ask for."""
