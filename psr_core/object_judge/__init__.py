"""A small CLIP for pictures of objects: what such pictures are measured by, and nothing of what draws them."""
