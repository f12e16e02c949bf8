"""AU descriptions: label vectors as English text, and text as label vectors.

>>> from ausynth import text
>>> text.describe([2, 4], (4, 15), seed=1)
'The brow is slightly furrowed. The lip corners are greatly drawn downward.'
>>> text.parse("clearly knitted brows, a big frown, and the mouth corners slightly down")
{4: 4, 15: 2}
"""

from ausynth.text.phrases import fingerprint as fingerprint
from ausynth.text.processor import describe as describe
from ausynth.text.processor import describe_batch as describe_batch
from ausynth.text.processor import partition as partition
from ausynth.text.reader import intensities_of as intensities_of
from ausynth.text.reader import parse as parse

__all__ = ["describe", "describe_batch", "expand", "fingerprint", "intensities_of", "parse", "partition"]


def expand(text: str, seed: int = 0) -> str:
    """Return what a text asks of a face as an AU description, emotions included.

    >>> expand("a slight smile")
    'The corners of the mouth are mildly drawn upward toward the cheekbones.'

    Raises:
        ConfigurationError: the text mentions nothing that a face does, or an AU without phrases.
    """
    levels = parse(text)
    return describe(list(levels.values()), list(levels), seed) if levels else describe([0], [12], seed)
