"""What all samples of one store have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from ausynth import facs
from ausynth.durable import write_aside
from ausynth.errors import ConfigurationError, StoreError, require_whole
from ausynth.store.files import seal, unseal

__all__ = ["RECIPE_FILE", "SCHEMA", "Recipe", "load_recipe", "require_schema", "save_recipe"]

SCHEMA: Final = 1
"""Version of the files' layout: those of another are refused, never guessed at."""

RECIPE_FILE: Final = "store.json"


@dataclass(frozen=True)
class Recipe:
    """What all shards of one store share.

    >>> recipe = Recipe(kind="synthetic", aus=(1, 12), image_size=112, fingerprint="a")
    >>> recipe == Recipe(kind="synthetic", aus=(1, 12), image_size=112, fingerprint="a", about={"generator": "b"})
    True
    >>> recipe.differences(Recipe(kind="synthetic", aus=(1, 12), image_size=64, fingerprint="a"))
    ['image_size is 112, not 64']

    Attributes:
        kind: whether the samples were generated or are of a real data set.
        aus: the action units of the labels.
        image_size: the pictures are (image_size, image_size, 3) uint8 RGB.
        codec: how they are stored.
        quality: of the JPEG coding, 1-100; None where it is unknown or there is none.
        fingerprint: the generator's, or that of the whole real set.
        about: what else is to be known, as JSON: it does not decide whether samples may lie in one store.
    """

    kind: Literal["synthetic", "real"]
    aus: tuple[int, ...]
    image_size: int
    codec: Literal["raw", "jpeg"] = "raw"
    quality: int | None = None
    fingerprint: str = ""
    about: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "aus", facs.label_space(self.aus))
        require_whole("image_size", self.image_size, 1)
        for name, value, known in (
            ("kind", self.kind, ("synthetic", "real")),
            ("codec", self.codec, ("raw", "jpeg")),
        ):
            if value not in known:
                raise ConfigurationError(f"{name} {value!r} of a store", expected=" or ".join(map(repr, known)))

    def differences(self, other: Recipe) -> list[str]:
        """Return in words where this one differs from `other`, `about` aside; empty where they agree."""
        return [
            f"{field.name} is {getattr(self, field.name)!r}, not {getattr(other, field.name)!r}"
            for field in fields(self)
            if field.compare and getattr(self, field.name) != getattr(other, field.name)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        facts = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**facts, "aus": list(self.aus), "about": dict(self.about)}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Recipe:
        """Return the recipe that `to_json` described."""
        return cls(**{**facts, "aus": tuple(facts["aus"])})


def require_schema(found: object, path: Path) -> None:
    """Raise StoreError unless `found` is the version of the layout that is understood here."""
    if found != SCHEMA:
        raise StoreError(
            f"{path} has schema {found!r}",
            expected=f"schema {SCHEMA}, which this version of ausynth reads and writes",
            do="use the version of ausynth that wrote it, or choose a new folder",
        )


def load_recipe(folder: Path) -> Recipe | None:
    """Return the recipe of the store in `folder`, None where no store has begun there.

    Raises:
        StoreError: it is damaged, missing beside shards, or of another schema.
    """
    path = folder / RECIPE_FILE
    mend = f"run `ausynth cache repair {folder}`, which rebuilds it from the shards"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if (folder / "manifest.jsonl").exists():
            raise StoreError(f"{path} is missing", expected=f"it beside {folder / 'manifest.jsonl'}", do=mend) from None
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror})", expected="a folder with a store") from error
    facts = unseal(data)
    if facts is None:
        raise StoreError(f"{path} is damaged: its checksum does not match", expected="what was written", do=mend)
    require_schema(facts.get("schema"), path)
    return Recipe.from_json(facts["recipe"])


def save_recipe(folder: Path, recipe: Recipe) -> None:
    """Write the recipe of the store in `folder`; raise OSError where that cannot be."""
    write_aside(folder / RECIPE_FILE, seal({"schema": SCHEMA, "recipe": recipe.to_json()}))
