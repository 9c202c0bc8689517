"""The `psr` command: one file a subcommand."""
