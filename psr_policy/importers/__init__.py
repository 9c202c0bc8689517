"""Checkpoints of other projects, read without executing anything in them and turned into the native form."""
