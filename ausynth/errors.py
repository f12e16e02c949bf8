"""What can go wrong, in one place: every error says what was found, what was expected and what to do."""

from __future__ import annotations

import operator

__all__ = [
    "AusynthError",
    "ConfigurationError",
    "DamagedError",
    "FrameError",
    "GenerationError",
    "LabelFileError",
    "LayoutError",
    "StoreError",
    "require_whole",
]


class AusynthError(Exception):
    """Base of every error that ausynth raises on purpose.

    >>> str(AusynthError("unknown AU 3", expected="an AU of FACS", do="see ausynth.facs.ACTION_UNITS"))
    'unknown AU 3. Expected: an AU of FACS. To do: see ausynth.facs.ACTION_UNITS.'

    Args:
        what: one clause that says what was found, without a full stop.
        expected: what would have been right.
        do: what the reader can do about it.
    """

    def __init__(self, what: str, *, expected: str | None = None, do: str | None = None) -> None:
        self.what, self.expected, self.do = what, expected, do
        sentences = [what]
        if expected:
            sentences.append(f"Expected: {expected}")
        if do:
            sentences.append(f"To do: {do}")
        super().__init__(" ".join(sentence.rstrip(".") + "." for sentence in sentences))

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (DataLoader workers), and keyword-only arguments do not pickle by themselves.
        return (_rebuild, (type(self), self.__dict__.copy(), self.args))


class ConfigurationError(AusynthError, ValueError):
    """An argument that cannot be right: a ratio of 1.5, an unknown AU, an empty hold-out."""


class LayoutError(AusynthError):
    """A data set's tree is not as its publisher or common tools lay it out, or its parts disagree."""


class LabelFileError(AusynthError):
    """A label file is missing, empty, or holds what no label can be."""


class GenerationError(AusynthError):
    """A generator cannot make what was asked of it."""


class StoreError(AusynthError):
    """A store cannot be used: none there, of another kind, full, or damaged."""


class DamagedError(StoreError):
    """Stored bytes are not those that were written.

    Attributes:
        shard: the file.
        position: the place of the damaged sample among those that were asked for, where one sample is concerned.
        places: the places in the store of all that were asked for and cannot be read.
    """

    shard: str = ""
    position: int | None = None
    places: tuple[int, ...] = ()


class FrameError(AusynthError):
    """One picture cannot be read.

    Attributes:
        path: the file that could not be read.
        position: its place in the `indices` of the `read` call that met it, where there was one.
    """

    path: str = ""
    position: int | None = None

    @classmethod
    def of(cls, path: object, reason: str, *, do: str | None = None) -> FrameError:
        """Return the error for one unreadable picture at `path`."""
        error = cls(
            f"cannot read {path}: {reason}",
            expected="a whole picture that OpenCV can decode",
            do=do or "restore the file from your copy of the data, or pass on_error='skip' to train without it",
        )
        error.path = str(path)
        return error


def require_whole(name: str, value: object, least: int) -> None:
    """Raise ConfigurationError unless the argument `name` is a whole number, `least` or more."""
    try:
        whole = not isinstance(value, bool) and operator.index(value) >= least  # type: ignore[arg-type]
    except TypeError:
        whole = False
    if not whole:
        raise ConfigurationError(f"{name} {value!r}", expected=f"a whole number, {least} or more")


def _rebuild(cls: type[AusynthError], state: dict[str, object], args: tuple[object, ...]) -> AusynthError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error
