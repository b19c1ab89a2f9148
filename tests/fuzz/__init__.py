"""Random damage to everything that is read: ``python -m tests.fuzz --seconds 600 --seed 0``."""
