"""Rendering a portrait in motion."""
