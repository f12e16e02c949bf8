"""An unlimited stream of AU-labelled faces: real DISFA and BP4D frames mixed with generated ones at an exact ratio."""

__version__ = "0.1.0"
