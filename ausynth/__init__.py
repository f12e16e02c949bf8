"""An unlimited stream of AU-labelled faces: real DISFA and BP4D frames mixed with generated ones at an exact ratio.

>>> import ausynth
>>> ausynth.facs.DISFA_8
(1, 2, 4, 6, 9, 12, 25, 26)

The public names load what they need when they are first used, so `import ausynth` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ausynth import facs as facs
    from ausynth import gates as gates
    from ausynth import samplers as samplers
    from ausynth import sources as sources
    from ausynth import testing as testing
    from ausynth import text as text
    from ausynth.errors import AusynthError as AusynthError
    from ausynth.generators import load_generator as load_generator
    from ausynth.generators.base import Conditions as Conditions
    from ausynth.generators.base import Generated as Generated
    from ausynth.generators.base import Generator as Generator
    from ausynth.labels import Labels as Labels
    from ausynth.presets import preset as preset
    from ausynth.sources import open_source as open_source
    from ausynth.sources.base import Source as Source
    from ausynth.store import Store as Store
    from ausynth.stream import MixedStream as MixedStream

__version__ = "0.1.0"

_MODULES = ("facs", "gates", "samplers", "sources", "testing", "text")
_NAMES = {
    "AusynthError": "ausynth.errors",
    "Conditions": "ausynth.generators.base",
    "Generated": "ausynth.generators.base",
    "Generator": "ausynth.generators.base",
    "Labels": "ausynth.labels",
    "MixedStream": "ausynth.stream",
    "Source": "ausynth.sources.base",
    "Store": "ausynth.store",
    "load_generator": "ausynth.generators",
    "open_source": "ausynth.sources",
    "preset": "ausynth.presets",
}

__all__ = ["__version__", *_MODULES, *_NAMES]  # noqa: PLE0604 (strings all)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(_NAMES[name]), name)
    elif name in _MODULES:
        value = import_module(f"ausynth.{name}")
    else:
        raise AttributeError(f"module 'ausynth' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
