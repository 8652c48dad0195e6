"""`hil fly`: a spacecraft flies past a small body, and the maps of its camera's frames point the camera."""
