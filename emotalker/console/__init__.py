"""The `emotalker` command."""
