"""What compiled code of the portrait look is made with: that of the procedural look, stamped with these sources too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from ausynth.generators.rendered.kernels import SOURCES as RENDERED
from ausynth.generators.rendered.kernels import Integers, Real, inlined
from ausynth.generators.rendered.kernels import kernel as rendered_kernel

__all__ = ["SOURCES", "Integers", "Real", "inlined", "kernel"]

SOURCES: Final = hashlib.sha256(
    RENDERED.encode() + b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()
"""Hash of every source file that this look's compiled code can come from."""

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function, free of the GIL, and keep the result on disk until a source file of either look changes."""
    compiled = rendered_kernel(function)
    file: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if hasattr(file, "_source_stamp"):
        file._source_stamp = SOURCES
    return compiled
