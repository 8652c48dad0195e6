"""The reader of image files for everything on the ground: kinds, bit depth, folders as people have them.

`flight.client.images` reads PNG, JPEG and plain TIFF with what flies; here is the rest, a module for each family.
"""
