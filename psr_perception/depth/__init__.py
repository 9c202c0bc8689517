"""Monocular depth from Marigold pipelines under steering."""
