"""Objects made of a prompt: volumes and their pictures, their surfaces, and assets that a simulator picks up."""
