"""The conformance suite that every encoder of faces is held to."""

from __future__ import annotations

import pickle

import numpy as np
from numpy.typing import NDArray

from ausynth.samplers.identity import IdentityEncoder

__all__ = ["check_encoder"]


def check_encoder(encoder: IdentityEncoder, images: NDArray[np.uint8]) -> None:
    """Check that an encoder keeps the promises of `ausynth.samplers.IdentityEncoder`.

        check_encoder(ArcFaceEncoder("w600k_r50.onnx"), pictures)

    It embeds the pictures together, one by one, in another order and again, and a pickled copy embeds them too.

    Args:
        encoder: the encoder to check.
        images: (B, H, W, 3) uint8 RGB, 2 pictures or more, a face in at least one of them.

    Raises:
        AssertionError: a promise is broken; the message says which, what was found and what was expected.
    """
    assert isinstance(encoder, IdentityEncoder), (
        f"{type(encoder).__name__} lacks a part: name, fingerprint, dimension or embed"
    )
    for part in ("name", "fingerprint"):
        text = getattr(encoder, part)
        assert isinstance(text, str) and text, f"{part} is {text!r}, not a text"  # noqa: PT018
    before = images.copy()
    together = encoder.embed(images)
    assert np.array_equal(images, before), "embed() changed the pictures"
    expected = (len(images), encoder.dimension)
    assert together.shape == expected, f"embed() returned shape {together.shape}, not {expected}"
    assert together.dtype == np.float32, f"embed() returned {together.dtype}, not float32"
    assert np.isfinite(together).all(), "embed() returned NaN or infinity: a row of zeros says that there is no face"
    lengths = np.linalg.norm(together, axis=1)
    assert lengths.any(), "embed() found no face in any of the pictures"
    wrong = lengths[(np.abs(lengths - 1) > 1e-3) & (lengths != 0)]
    assert not wrong.size, f"embed() returned a vector of length {wrong[:1]}, not 1 (or 0 without a face)"
    cases = {
        "again": encoder.embed(images),
        "one by one": np.concatenate([encoder.embed(image[None]) for image in images]),
        "in reverse": encoder.embed(np.ascontiguousarray(images[::-1]))[::-1],
        "by a pickled copy": pickle.loads(pickle.dumps(encoder)).embed(images),
    }
    for case, found in cases.items():
        assert np.array_equal(found, together), (
            f"embed() {case} gives other vectors: they may depend on a picture alone"
        )
    assert encoder.embed(images[:0]).shape == (0, encoder.dimension), "embed() of no pictures is no empty array"
