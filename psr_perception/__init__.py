"""Depth and rotation estimators under steering."""
