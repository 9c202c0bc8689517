"""Object rotation from an image, up to symmetry, under steering."""
