"""Samples, pictures and stores whose content follows from a number, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ausynth.labels import Labels
from ausynth.sources.images import decode_image
from ausynth.store import Recipe, Samples, Store

SIZE = 8
AUS = (1, 12, 25)
RECIPE = Recipe(kind="synthetic", aus=AUS, image_size=SIZE, fingerprint="noise", about={"licence": "none", "x": [1]})
JPEG = Recipe(kind="synthetic", aus=AUS, image_size=SIZE, codec="jpeg", quality=90, fingerprint="noise")
CODECS = {"raw": RECIPE, "jpeg": JPEG}


def samples_of(numbers: Iterable[int], salt: int = 0) -> Samples:
    number = np.asarray(list(numbers), np.int64)
    intensity = ((number[:, None] + salt) % np.array([6, 5, 4])).astype(np.float32)
    intensity[number % 5 == 4, 1] = np.nan
    key = np.zeros((len(number), 16), np.uint8)
    key[:, :8] = number[:, None].view(np.uint8)
    key[:, 8] = salt
    return Samples(
        number=number,
        key=key,
        labels=Labels.from_intensity(AUS, intensity),
        asked=intensity + 0,
        identity=number // 3,
        noise=number * 5 - 1,
        attempt=number % 2,
        text=tuple(f"number {each}" for each in number),
    )


def picture(number: int, salt: int = 0) -> np.ndarray:
    return np.random.default_rng((number, salt)).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def coded(number: int, salt: int = 0) -> bytes:
    return cv2.imencode(".jpg", picture(number, salt))[1].tobytes()


def shown(recipe: Recipe, number: int, salt: int = 0) -> np.ndarray:
    """Return what a store of `recipe` shows of a sample."""
    return picture(number, salt) if recipe.codec == "raw" else decode_image(coded(number, salt), "")


def write(store: Store, numbers: Iterable[int], plan: str = "plan", salt: int = 0) -> str:
    numbers = list(numbers)
    images: Any = [coded(number, salt) for number in numbers]
    if store.recipe.codec == "raw":
        images = np.stack([picture(number, salt) for number in numbers])
    return store.write(samples_of(numbers, salt), images, plan=plan, configuration={"ratio": 0.5})


def read(store: Store, places: Sequence[int] | np.ndarray) -> np.ndarray:
    out = np.full((len(places), SIZE, SIZE, 3), 7, np.uint8)
    store.read(np.asarray(places, np.int64), out)
    return out


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def require_equal(found: Samples, expected: Samples) -> None:
    for name in ("number", "key", "asked", "identity", "noise", "attempt"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype, name
        assert ours.tobytes() == theirs.tobytes(), name
    for name in ("intensity", "occurrence", "confidence"):
        assert getattr(found.labels, name).tobytes() == getattr(expected.labels, name).tobytes(), name
    assert found.labels.aus == expected.labels.aus
    assert found.text == expected.text


def require_holds(store: Store, numbers: Sequence[int], plan: str = "plan", salt: int = 0) -> None:
    """Fail unless the store has these numbers of a plan, with their pictures and columns."""
    places = store.find(plan, np.asarray(numbers, np.int64))
    assert (places >= 0).all()
    expected = np.stack([shown(store.recipe, number, salt) for number in numbers])
    assert (read(store, places) == expected).all()
    require_equal(store.samples(places), samples_of(numbers, salt))
