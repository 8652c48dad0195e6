"""The networks, in Keras 3, with any of its backends."""
