"""Diffusion policies: networks, normalisation, training, checkpoints, and the sampling of action chunks."""
