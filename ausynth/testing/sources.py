"""The conformance suite of sources: what every implementation of `ausynth.sources.base.Source` is held to."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import threading
import traceback
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import AusynthError, ConfigurationError, FrameError
from ausynth.labels import Labels
from ausynth.sources.base import Source

__all__ = ["check_corrupt", "check_source"]

Pixels = NDArray[np.uint8]

_SIDE = 48
_OTHER_SIDES = (33, 64)
_PICTURES = 12
_SECONDS = 120


def check_source(source: Source, *, expected: Labels | None = None) -> None:
    """Check that a source keeps its contract, in this process, in threads and in other processes.

    About 12 pictures from all over the source are read, each many times. One process is forked (where the platform
    can) and one spawned; as always with spawning, a script calls this under `if __name__ == "__main__":`.

    Args:
        source: what is checked; all of its pictures must be whole.
        expected: the labels that it should have, all N rows of them, found without its help.

    Raises:
        AssertionError: with what the source does and what it should do.
    """
    _check_metadata(source)
    if expected is not None:
        _check_labels(source.labels, expected)
    _check_pickle(source)
    indices = _spread(len(source))
    alone = _check_pixels(source, indices)
    _check_buffers(source, indices, alone)
    _check_refusals(source)
    _check_threads(source, indices, alone)
    copy: Source = pickle.loads(pickle.dumps(source))
    _require_equal(_read(copy, indices), alone, "a pickled copy reads other pixels than the source itself")
    if hasattr(os, "fork"):
        _check_process("fork", source, indices, alone)
    _check_process("spawn", source, indices, alone)


def check_corrupt(source: Source, index: int) -> None:
    """Check that a source names a damaged picture and still reads the others.

    Args:
        source: whose picture `index` the caller has damaged or deleted; the others are whole.
        index: the damaged picture.

    Raises:
        AssertionError: with what the source does and what it should do.
    """
    others = [other for other in _spread(len(source)) if other != index][:3]
    before = _read(source, others)
    for position in range(len(others) + 1):
        indices = [*others[:position], index, *others[position:]]
        try:
            _read(source, indices)
        except FrameError as error:
            _require(
                error.position == position,
                f"FrameError.position is {error.position}, but picture {index} is number {position} of {indices}",
            )
            _require(bool(error.path), "FrameError.path is empty: it should name the file")
            _require(error.path in str(error), f"the message does not name the file {error.path}: {error}")
        else:
            raise AssertionError(f"picture {index} is damaged, and read() gives pixels instead of a FrameError")
    _require_equal(_read(source, others), before, f"after the error of picture {index}, others read differently")


def _check_metadata(source: Source) -> None:
    _require(isinstance(source, Source), f"{type(source).__name__} lacks a member of ausynth.sources.base.Source")
    count = len(source)
    _require(count > 0, "the source is empty")
    _require(isinstance(source.name, str) and bool(source.name), f"name is {source.name!r}, not a text")
    _require(isinstance(source.labels, Labels), f"labels is a {type(source.labels).__name__}, not a Labels")
    _require(len(source.labels) == count, f"{len(source.labels)} rows of labels for {count} pictures")
    labels = source.labels
    for name in ("intensity", "occurrence", "confidence"):
        values_NA = getattr(labels, name)
        _require(values_NA.dtype == np.float32, f"labels.{name} is {values_NA.dtype}, not float32")
        _require(values_NA.shape == (count, len(labels.aus)), f"labels.{name} has shape {values_NA.shape}")
    unsure = np.flatnonzero((~labels.mask & (labels.confidence != 0)).any(axis=1))
    _require(not len(unsure), f"confidence is not 0 where the occurrence is unknown: rows {unsure[:5].tolist()}")
    known = labels.intensity[~np.isnan(labels.intensity)]
    _require(not known.size or (known.min() >= 0 and known.max() <= 5), "intensities leave 0-5")
    _check_people(source, count)
    try:
        facs.label_space(source.benchmark)
    except ConfigurationError as error:
        raise AssertionError(f"benchmark {source.benchmark!r} is no label space: {error}") from error


def _check_people(source: Source, count: int) -> None:
    subjects, identities = source.subjects, source.identities
    _require(isinstance(subjects, tuple), f"subjects is a {type(subjects).__name__}, not a tuple")
    _require(all(isinstance(subject, str) for subject in subjects), "subjects holds something else than texts")
    _require(len(set(subjects)) == len(subjects), "subjects names someone twice")
    _require(
        isinstance(identities, np.ndarray) and identities.dtype == np.int64 and identities.shape == (count,),
        f"identities should be an int64 array of shape ({count},)",
    )
    inside = (identities >= 0) & (identities < len(subjects))
    _require(
        bool(inside.all()),
        f"identities range from {identities.min()} to {identities.max()}, but there are {len(subjects)} subjects",
    )


def _check_labels(labels: Labels, expected: Labels) -> None:
    _require(labels.aus == expected.aus, f"labels are over the AUs {labels.aus}, expected {expected.aus}")
    _require(len(labels) == len(expected), f"{len(labels)} rows of labels, expected {len(expected)}")
    for name in ("intensity", "occurrence", "confidence"):
        found_NA, wanted_NA = getattr(labels, name), getattr(expected, name)
        wrong = ~((found_NA == wanted_NA) | (np.isnan(found_NA) & np.isnan(wanted_NA)))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise AssertionError(
                f"{name} of AU{labels.aus[column]} in row {row} is {found_NA[row, column]}, expected "
                f"{wanted_NA[row, column]} ({int(wrong.sum())} such cells)"
            )


def _check_pickle(source: Source) -> None:
    fingerprint = source.fingerprint
    _require(isinstance(fingerprint, str) and bool(fingerprint), f"fingerprint is {fingerprint!r}, not a text")
    _require(source.fingerprint == fingerprint, "fingerprint changes from call to call")
    try:
        copy: Source = pickle.loads(pickle.dumps(source))
    except Exception as error:
        raise AssertionError(f"the source does not pickle: {type(error).__name__}: {error}") from error
    _require(copy.fingerprint == fingerprint, "a pickled copy has another fingerprint")
    _require(len(copy) == len(source), "a pickled copy has another length")
    _require(copy.subjects == source.subjects, "a pickled copy has other subjects")
    _require(np.array_equal(copy.identities, source.identities), "a pickled copy has other identities")
    _check_labels(copy.labels, source.labels)


def _check_pixels(source: Source, indices: list[int]) -> Pixels:
    """Return the pictures as read one at a time, after comparing that with every other way to ask for them."""
    alone = np.concatenate([_read(source, [index]) for index in indices])
    for label, fill in (("zeros", 0), ("255s", 255)):
        out = np.full_like(alone, fill)
        source.read(indices, out)
        _require_equal(out, alone, f"reading {len(indices)} at once into {label} differs from one at a time")
    order = np.random.default_rng(0).integers(0, len(indices), 2 * len(indices))
    shuffled = [indices[place] for place in order]
    _require_equal(_read(source, shuffled), alone[order], "reading in another order with repeats differs")
    as_array = np.asarray(indices, dtype=np.int64)
    _require_equal(_read(source, as_array), alone, "an int64 array of indices reads differently from a list")
    _read(source, [])
    for side in _OTHER_SIDES:
        once, again = _read(source, indices, side), _read(source, indices[::-1], side)[::-1]
        _require_equal(again, once, f"at {side} pixels, reading in reverse order differs")
        _require_alike(once, alone, side)
    _require_equal(_read(source, indices), alone, "reading at other sizes changed what is read at the first")
    return alone


def _check_buffers(source: Source, indices: list[int], alone: Pixels) -> None:
    """Read into views of larger buffers: rows of a ring, and pictures inside larger ones."""
    count = len(indices)
    for out, view in (
        (ring := np.full((count + 4, _SIDE, _SIDE, 3), 77, np.uint8), ring[2 : 2 + count]),
        (wide := np.full((count, _SIDE + 9, _SIDE + 5, 3), 77, np.uint8), wide[:, 4 : 4 + _SIDE, 3 : 3 + _SIDE]),
    ):
        source.read(indices, view)
        _require_equal(view, alone, f"reading into a view with strides {view.strides} differs")
        view[:] = 77
        _require(bool((out == 77).all()), "read() writes outside the view that it was given")


def _check_refusals(source: Source) -> None:
    for index in (len(source), -1):
        _require_refused(source, [index], np.empty((1, _SIDE, _SIDE, 3), np.uint8), f"index {index}")
    for out in (
        np.empty((2, _SIDE, _SIDE, 3), np.uint8),
        np.empty((_SIDE, _SIDE, 3), np.uint8),
        np.empty((1, _SIDE, _SIDE), np.uint8),
        np.empty((1, _SIDE, _SIDE, 4), np.uint8),
        np.empty((1, _SIDE, _SIDE, 3), np.float32),
    ):
        _require_refused(source, [0], out, f"out of shape {out.shape} and type {out.dtype} for one picture")


def _require_refused(source: Source, indices: Sequence[int], out: NDArray[np.generic], what: str) -> None:
    try:
        source.read(indices, out)  # type: ignore[arg-type]  # a wrong type is the point
    except (AusynthError, ValueError, IndexError, TypeError) as error:
        _require(not isinstance(error, FrameError), f"{what} raises FrameError, which on_error='skip' would hide")
        return
    raise AssertionError(f"{what} is read without an error")


def _check_threads(source: Source, indices: list[int], alone: Pixels) -> None:
    """Read in two threads that start together, one of them backwards: what they share shows in the pixels."""
    together = threading.Barrier(2, timeout=_SECONDS)

    def read(order: list[int]) -> list[Pixels]:
        results = []
        try:
            for _ in range(4):
                together.wait()
                results.append(_read(source, order))
        except BaseException:
            together.abort()  # the other thread shall not wait for this one
            raise
        return results

    with ThreadPoolExecutor(2) as pool:
        forward, backward = pool.map(read, (indices, indices[::-1]))
    for pixels in (*forward, *(batch[::-1] for batch in backward)):
        _require_equal(pixels, alone, "two threads at once read other pixels than one")


def _check_process(method: str, source: Source, indices: list[int], alone: Pixels) -> None:
    """Read in a forked or spawned process, which may take its time and not hang."""
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    with warnings.catch_warnings():
        # Python 3.12 warns of forking while threads run; that the source stands it is what is checked.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = context.Process(target=_read_there, args=(sender, source, indices), daemon=True)  # type: ignore[attr-defined]
        process.start()
    sender.close()
    try:
        _require(receiver.poll(_SECONDS), f"after {method}, reading does not end within {_SECONDS} s")
        fingerprint, result = receiver.recv()
    except EOFError:
        process.join()
        raise AssertionError(f"after {method}, the process died (exit code {process.exitcode})") from None
    finally:
        process.kill()  # it has answered, died, or hangs
        process.join()
        process.close()
        receiver.close()
    _require(fingerprint is not None, f"after {method}, reading fails:\n{result}")
    _require(fingerprint == source.fingerprint, f"after {method}, the source has another fingerprint")
    _require(result == _digest(alone), f"after {method}, the source reads other pixels")


def _read_there(sender: Connection, source: Source, indices: list[int]) -> None:
    try:
        import cv2

        cv2.setNumThreads(0)  # a pool of threads does not survive a fork
        answer = (source.fingerprint, _digest(_read(source, indices)))
    except BaseException:
        sender.send((None, traceback.format_exc()))
    else:
        sender.send(answer)
    sender.close()


def _spread(count: int) -> list[int]:
    return sorted({int(index) for index in np.linspace(0, count - 1, _PICTURES)})


def _read(source: Source, indices: Sequence[int] | NDArray[np.int64], side: int = _SIDE) -> Pixels:
    out = np.full((len(indices), side, side, 3), 77, np.uint8)
    source.read(indices, out)
    return out


def _digest(pixels: Pixels) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _require_equal(found: Pixels, wanted: Pixels, message: str) -> None:
    wrong = [place for place in range(len(wanted)) if not np.array_equal(found[place], wanted[place])]
    if wrong:
        raise AssertionError(f"{message} (picture {wrong[0]} of those read, and {len(wrong) - 1} more)")


def _require_alike(found: Pixels, wanted: Pixels, side: int) -> None:
    """Require the same pictures at another size: their mean colours agree."""
    means = np.abs(found.mean(axis=(1, 2), dtype=np.float64) - wanted.mean(axis=(1, 2), dtype=np.float64))
    worst = float(means.max())
    _require(worst < 16, f"at {side} pixels a picture's mean colour differs by {worst:.0f} from that at {_SIDE}")
