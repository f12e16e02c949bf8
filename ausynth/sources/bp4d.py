"""BP4D: 41 people in 8 tasks, with occurrence codes of some AUs and graded codes of five."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError, LabelFileError, LayoutError
from ausynth.labels import Labels
from ausynth.sources import bp4d_files
from ausynth.sources.base import PictureSource
from ausynth.sources.bp4d_files import NOT_CODED, Codes, Take
from ausynth.sources.crop import Align, make_crop
from ausynth.sources.folds import select, subject_order
from ausynth.sources.images import ImageFiles
from ausynth.sources.roots import resolve_root
from ausynth.sources.thinning import Thin

__all__ = ["BP4D", "wanted_aus", "wanted_tasks"]


class BP4D(PictureSource):
    """The coded frames of BP4D, from a copy that holds pictures (F001/T1/2440.jpg) and AUCoding/AU_OCC.

        BP4D("/data/BP4D", fold="megraph:1", split="train")

    Both are searched for under the root, a few folders deep. Columns of AU_OCC are found by its header; code 9 is
    unknown, not absent. Where AU_INT has a file, the intensity is known too. BP4D+ is not read by this class: its
    subjects bear the names of other people of BP4D, and its frame numbers have not been verified.

    Args:
        root: the root; None: what AUSYNTH_BP4D_ROOT says.
        align: how a face is cut out: "none", a function, or a `Crop`; see `ausynth.sources.crop.make_crop`.
        aus: the AUs wanted, by name of a label space or as numbers; default: every AU that is coded in
            some frame that is kept.
        threshold: None: occurrence is as coded in AU_OCC. A number: where the intensity is known, an AU occurs at
            this intensity or above; elsewhere as coded.
        hold_out: what is left out: a part ("P1"), a subject, or several of either.
        keep: what alone is kept, named alike.
        fold: a fold in another code base's numbering ("megraph:1"), see `ausynth.sources.folds.FOLDS`.
        split: with `fold`: "train" or "test".
        tasks: the tasks wanted, for example ("T1", "T6"); default: all.
        thin: leave out near-duplicate frames: "runs" or a number, see `ausynth.sources.thinning.thin`.
        allow_missing: leave out coded frames without a picture and pictures without codes instead of refusing.
        images: the folder that holds F001, where several do (the 3D data have pictures too), or where it is not
            under the root.
        coding: the folder that holds AU_OCC, likewise.

    Raises:
        ConfigurationError: an argument that cannot be right.
        LayoutError: no pictures or codes, several candidates for either, or coded frames without a picture.
        LabelFileError: a code file is missing or holds what no code can be, with its line.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        align: Align = "none",
        aus: str | Iterable[int] | None = None,
        threshold: float | None = None,
        hold_out: str | Iterable[str] | None = None,
        keep: str | Iterable[str] | None = None,
        fold: str | None = None,
        split: str = "train",
        tasks: str | Iterable[str] | None = None,
        thin: Thin | None = None,
        allow_missing: bool = False,
        images: str | os.PathLike[str] | None = None,
        coding: str | os.PathLike[str] | None = None,
    ) -> None:
        crop = make_crop(align)
        folder = resolve_root("bp4d", root)
        tree = _Tree(folder, images, coding)

        def kept_by(subjects: list[str]) -> tuple[str, ...]:
            return select("bp4d", subjects, hold_out=hold_out, keep=keep, fold=fold, split=split)

        takes = tree.takes(kept_by, tasks, allow_missing)
        occurrence = {take: bp4d_files.read_occurrence(tree.codes[take]) for take in takes}
        coded = {take: _coded(occurrence[take], tree.graded.get(take, {})) for take in takes}
        wanted = wanted_aus(aus, coded.values(), tree.occurrence)
        labels = Labels.concatenate([_labels(occurrence[take], tree.graded.get(take, {}), wanted) for take in takes])
        paths, found_N = tree.pictures(occurrence, allow_missing)
        number = {subject: index for index, subject in enumerate(subject_order("bp4d"))}
        people_N = np.repeat(
            [number[subject] for subject, _ in takes], [len(occurrence[take].frames) for take in takes]
        )
        super().__init__(
            name="bp4d",
            frames=ImageFiles(tree.images, paths),
            labels=(labels if threshold is None else labels.at_threshold(threshold))[found_N],
            identities=people_N[found_N],
            subjects=subject_order("bp4d"),
            benchmark=facs.BP4D_12,
            crop=crop,
            root=folder,
            thin=thin,
        )
        self.takes = {"/".join(take): (tree.folder(take), tuple(sorted(coded[take]))) for take in takes}
        """The folder of each coded take ("F001/T1") that is kept, and the AUs that are coded in it."""


class _Tree:
    """The files of a copy, by take."""

    def __init__(
        self, root: Path, images: str | os.PathLike[str] | None, coding: str | os.PathLike[str] | None
    ) -> None:
        self.images = bp4d_files.find_images(root, images)
        self.occurrence, intensity = bp4d_files.find_codes(root, coding)
        self.folders = bp4d_files.image_folders(self.images)
        self.codes = bp4d_files.code_files(self.occurrence)
        self.graded = bp4d_files.intensity_files(intensity)

    def takes(
        self,
        kept_by: Callable[[list[str]], tuple[str, ...]],
        tasks: str | Iterable[str] | None,
        allow_missing: bool,
    ) -> list[Take]:
        """Return the takes that are wanted and coded, in the order of subjects and tasks."""
        there = sorted({*self.codes, *self.folders}, key=lambda take: (take[0], int(take[1][1:])))
        subjects = sorted({subject for subject, _ in there})
        strangers = sorted({*subjects} - {*subject_order("bp4d")})
        if strangers:
            raise LayoutError(
                f"{len(strangers)} subjects in {self.images} or {self.occurrence} are none of BP4D's, the first "
                f"{strangers[0]}",
                expected="F001 to F023 and M001 to M018",
                do="BP4D+ is another data set: list its pictures in a csv file and open them with 'folder'",
            )
        kept = frozenset(kept_by(subjects))
        chosen = wanted_tasks(tasks, {task for _, task in there})
        wanted = [(subject, task) for subject, task in there if subject in kept and task in chosen]
        uncoded = [take for take in wanted if take not in self.codes]
        if uncoded and not allow_missing:
            raise LabelFileError(
                f"{len(uncoded)} of {len(wanted)} takes have pictures and no codes, the first {'/'.join(uncoded[0])}",
                expected=f"{self.occurrence}/{'_'.join(uncoded[0])}.csv",
                do="restore the file, or pass allow_missing=True to train without these pictures",
            )
        coded = [take for take in wanted if take in self.codes]
        if not coded:
            raise LayoutError(f"no coded take is left in {self.occurrence}", expected="at least one")
        return coded

    def folder(self, take: Take) -> str:
        """Return the folder of a take's pictures, under `images`."""
        return self.folders.get(take, "/".join(take))

    def pictures(self, occurrence: dict[Take, Codes], allow_missing: bool) -> tuple[list[str], NDArray[np.bool_]]:
        """Return the path of each picture that is there, and which of the coded frames those are."""
        paths: list[str] = []
        found: list[bool] = []
        lacking: list[tuple[Take, int]] = []
        for take, codes in occurrence.items():
            folder = self.folder(take)
            frames = codes.frames.tolist()
            names = bp4d_files.name_frames(self.images / folder, frames)
            paths += [f"{folder}/{names[frame]}" for frame in frames if frame in names]
            found += [frame in names for frame in frames]
            lacking += [(take, frame) for frame in frames if frame not in names]
        if not paths or (lacking and not allow_missing):
            take, frame = lacking[0]
            raise LayoutError(
                f"{len(lacking):,} of {len(found):,} coded frames have no picture, in {len({t for t, _ in lacking})} "
                f"takes; the first is frame {frame} of {'/'.join(take)} in {self.images}",
                expected=f"{'/'.join(take)}/{frame:04d}.jpg: the frame number of the codes is the picture's name",
                do="restore the pictures, choose their folder with images=FOLDER, or pass allow_missing=True to train "
                "without these frames",
            )
        return paths, np.array(found, dtype=bool)


def wanted_tasks(tasks: str | Iterable[str] | None, there: set[str]) -> set[str]:
    """Return the tasks of `tasks`, or all that are there; raise ConfigurationError for one that is not."""
    if tasks is None:
        return there
    wanted = {str(task).upper() for task in ((tasks,) if isinstance(tasks, str) else tasks)}
    if not wanted or not wanted <= there:
        raise ConfigurationError(f"tasks={tasks!r}", expected=f"some of {', '.join(sorted(there))}")
    return wanted


def wanted_aus(aus: str | Iterable[int] | None, coded: Iterable[Iterable[int]], where: object) -> tuple[int, ...]:
    """Return the label space `aus`, or every AU that is coded in some take; raise ConfigurationError if none of it is.

    Args:
        aus: as `BP4D` takes it.
        coded: the AUs that are coded in each take.
        where: names their place in the message.
    """
    there = {au for take in coded for au in take}
    if aus is None:
        return facs.label_space(sorted(there))
    wanted = facs.label_space(aus)
    if not there & set(wanted):
        raise ConfigurationError(
            f"none of the AUs {', '.join(map(str, wanted))} is coded in {where}",
            expected=f"some of {', '.join(map(str, sorted(there)))}",
        )
    return wanted


def _coded(codes: Codes, graded: Iterable[int]) -> set[int]:
    # The header names AUs that nobody coded (all 9), too.
    coded = {au for au, code_N in codes.codes.items() if (code_N != NOT_CODED).any()}
    return coded | {au for au in graded if au in facs.ACTION_UNITS}


def _labels(codes: Codes, graded: dict[int, Path], aus: tuple[int, ...]) -> Labels:
    """Return the labels of a take: occurrence as coded in AU_OCC, intensity as coded in AU_INT."""
    labels = Labels.unknown(aus, len(codes.frames))
    for column, au in enumerate(aus):
        if au in codes.codes:
            code_N = codes.codes[au]
            known_N = code_N != NOT_CODED
            labels.occurrence[known_N, column] = code_N[known_N]
            labels.confidence[known_N, column] = 1
        if au in graded:
            frames, intensity = bp4d_files.read_intensity(graded[au])
            _, here, there = np.intersect1d(codes.frames, frames[intensity != NOT_CODED], return_indices=True)
            labels.intensity[here, column] = intensity[intensity != NOT_CODED][there]
    return labels
