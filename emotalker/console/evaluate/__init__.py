"""The commands ``emotalker evaluate ...``."""
