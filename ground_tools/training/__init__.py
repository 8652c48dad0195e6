"""Training: recipes, augmentation, metrics and loops."""
