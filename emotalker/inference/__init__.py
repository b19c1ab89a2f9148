"""Inference: from a voice and a portrait to a talking video."""
