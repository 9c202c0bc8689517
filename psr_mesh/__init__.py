"""Objects built from a prompt: a volume that is distilled through its renderings, and the mesh that is made of it."""
