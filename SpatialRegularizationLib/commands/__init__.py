"""The subcommands of `spatialreg`, one file each. Nothing heavy is imported before a command runs."""
