"""Simulated robot tasks: scenes, actions, images, scripted experts and recorded demonstrations."""
