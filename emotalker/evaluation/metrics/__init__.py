"""Measures of generated talking videos, one file a measure; :mod:`emotalker.evaluation.metrics.measure` lists them."""
