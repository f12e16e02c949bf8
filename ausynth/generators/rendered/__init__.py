"""Faces rendered from a morphable head: what an AU does to the face is known because it was done."""
