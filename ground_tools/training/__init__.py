"""Training: recipes, augmentation, losses and loops."""
