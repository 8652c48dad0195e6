"""Image-mask sets: the stored form, and loading them into memory."""
