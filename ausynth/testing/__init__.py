"""Checks that a source, generator or encoder of yours keeps its contract; the project's own are held to the same.

>>> from ausynth.testing import check_corrupt, check_encoder, check_generator, check_source
"""

from ausynth.testing.encoders import check_encoder
from ausynth.testing.generators import check_generator
from ausynth.testing.sources import check_corrupt, check_source

__all__ = ["check_corrupt", "check_encoder", "check_generator", "check_source"]
