from __future__ import annotations

import errno
import hashlib
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ausynth.errors import AusynthError, ConfigurationError
from ausynth.facs import BP4D_12, BP4D_INTENSITY, DISFA_12, UNION_17
from ausynth.generators.base import Conditions, Generated
from ausynth.labels import Labels
from ausynth.simulate import Simulation, simulate
from ausynth.simulated.faces import STRETCH, render_sequence
from ausynth.sources.bp4d import BP4D
from ausynth.sources.disfa import DISFA


class Painter:
    """A generator of plain pictures: one colour a person, a bar an action; a jaw that drops parts the lips."""

    name = "painter"
    fingerprint = "painter-1"

    def __init__(self, image_size: int = 64, aus: tuple[int, ...] = UNION_17, block_size: int = 1) -> None:
        self.image_size, self.aus, self.block_size = image_size, aus, block_size
        self.stop_at: int | None = None
        self.calls: list[Conditions] = []

    def generate(self, conditions: Conditions) -> Generated:
        assert len(conditions) % self.block_size == 0
        if self.stop_at is not None and len(self.calls) >= self.stop_at:
            raise KeyboardInterrupt
        self.calls.append(conditions)
        images = np.empty((len(conditions), self.image_size, self.image_size, 3), np.uint8)
        for image, person, noise in zip(images, conditions.identity, conditions.noise, strict=True):
            image[:] = np.random.default_rng(person).integers(40, 200, 3)
            image[:8] = np.random.default_rng(noise).integers(0, 255, 3)
            image[:, ::8] += 30
        shown = conditions.intensity.copy()
        if {25, 26} <= set(self.aus):
            jaw, lips = self.aus.index(26), self.aus.index(25)
            shown[:, lips] = np.maximum(shown[:, lips], shown[:, jaw] - 0.4)
        return Generated(images, Labels.from_intensity(self.aus, np.clip(shown, 0, 5)))


SMALL = {"subjects": 3, "frames": 60, "size": 48, "run_length": 9.0}


def shown_by(simulation: Simulation, number: int, aus: tuple[int, ...]) -> np.ndarray:
    """Return the (T, A) labels of a person as the generator says them."""
    painter = Painter()
    who = simulation.people[number]
    asked = simulation.performance(who)
    frames = render_sequence(painter, asked, simulation.process.aus, simulation.identity(who), 48)
    return np.stack([frame.intensity for frame in frames])[:, [painter.aus.index(au) for au in aus]]


def contents(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_disfa_opens_with_its_reader_and_the_labels_are_what_is_shown(tmp_path: Path) -> None:
    simulation = Simulation("disfa", **SMALL, style=0.0)
    result = simulate(simulation, tmp_path / "disfa", generator=Painter())
    assert result.made == ("SN001", "SN002", "SN003")
    source = DISFA(result.root)
    assert len(source) == 180
    for number in range(3):
        rows = source.identities == number
        shown = shown_by(simulation, number, DISFA_12)
        assert (source.labels.intensity[rows] == shown).all()
    asked = np.rint(np.concatenate([simulation.performance(who) for who in simulation.people]))
    # The jaw parts the lips in the picture, so the label says so though nobody asked.
    assert (source.labels.intensity != asked).any()
    assert (np.delete(source.labels.intensity != asked, 10, axis=1)).sum() == 0


def test_expressions_rise_and_fall_and_occur_where_the_statistics_say(tmp_path: Path) -> None:
    simulation = Simulation("disfa", **SMALL)
    labels = DISFA(simulate(simulation, tmp_path, generator=Painter()).root).labels.intensity.reshape(3, 60, 12)
    drawn = simulation.process.draw(3, 60, seed=0)
    # Of AU25 the picture decides, which here shows more than was asked.
    assert (np.delete((labels >= 2) != (drawn >= 2), 10, axis=2)).sum() == 0
    steps = np.abs(np.diff(labels, axis=1))
    assert steps.max() == 1
    assert steps.sum() > 50
    at_once = Simulation("disfa", **SMALL, smooth=False)
    assert np.array_equal(np.stack([at_once.performance(who) for who in at_once.people]), drawn)
    assert np.abs(np.diff(drawn, axis=1)).max() > 1


def test_people_move_in_their_own_manner_and_favour_some_aus() -> None:
    still = Simulation("disfa", subjects=27, frames=4000, style=0.0, run_length=20)
    own = Simulation("disfa", subjects=27, frames=4000, style=0.5, run_length=20)
    rates = {name: (s.process.draw(27, 4000, seed=0) >= 2).mean(1) for name, s in (("still", still), ("own", own))}
    assert (rates["own"].std(0) > 2 * rates["still"].std(0)).mean() > 0.7
    assert np.abs(rates["own"].mean(0) - np.array(own.process.rates)).max() < 0.04
    apexes = np.array([own.performance(who)[:, own.process.aus.index(12)].max() for who in own.people])
    assert len(np.unique(apexes)) > 5
    assert np.array_equal(own.performance("SN004"), own.performance("SN004"))


def test_label_lines_are_in_the_publishers_form(tmp_path: Path) -> None:
    simulate(Simulation("disfa", **SMALL), tmp_path, generator=Painter())
    folder = tmp_path / "ActionUnit_Labels" / "SN002"
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"SN002_au{au}.txt" for au in DISFA_12)
    lines = (folder / "SN002_au12.txt").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines] == list(range(1, 61))
    assert {line.split(",")[1] for line in lines} <= set("012345")
    pictures = sorted(path.name for path in (tmp_path / "aligned_images" / "SN002").iterdir())
    assert pictures == [f"{number:05d}.jpg" for number in range(1, 61)]
    assert cv2.imread(str(tmp_path / "aligned_images" / "SN002" / pictures[0])).shape == (48, 48, 3)


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4"])
def test_videos_open_with_the_reader_and_every_frame_has_its_line(tmp_path: Path, codec: str) -> None:
    simulation = Simulation("disfa", **(SMALL | {"subjects": 2}), layout="video", codec=codec)  # type: ignore[arg-type]
    root = simulate(simulation, tmp_path / "tree", generator=Painter()).root
    assert not (root / "aligned_images").exists()
    source = DISFA(root, cache=tmp_path / "cache", progress=False)
    assert len(source) == 120
    assert (source.labels.intensity[60:] == shown_by(simulation, 1, DISFA_12)).all()
    same = simulate(Simulation("disfa", **(SMALL | {"subjects": 2})), tmp_path / "frames", generator=Painter()).root
    images = DISFA(same)
    here, there = np.empty((120, 48, 48, 3), np.uint8), np.empty((120, 48, 48, 3), np.uint8)
    source.read(np.arange(120), here)
    images.read(np.arange(120), there)
    # Lossy in two ways, and yet frame k of the video is nearer to picture k than to one of another stretch.
    apart = np.abs(here.astype(int) - there).mean(axis=(1, 2, 3))
    shifted = np.abs(here.astype(int) - np.roll(there, 2 * STRETCH, axis=0)).mean(axis=(1, 2, 3))
    assert apart.mean() < 0.5 * shifted.mean()


def test_both_layouts_lie_side_by_side(tmp_path: Path) -> None:
    root = simulate(Simulation("disfa", **SMALL, layout="both"), tmp_path, generator=Painter()).root
    assert (root / "Videos_LeftCamera" / "LeftVideoSN003_comp.avi").stat().st_size > 0
    assert len(DISFA(root, frames="images")) == len(DISFA(root, frames="video", cache=tmp_path / "c", progress=False))


def test_bp4d_opens_with_its_reader_and_the_labels_are_what_is_shown(tmp_path: Path) -> None:
    simulation = Simulation("bp4d", **SMALL)
    root = simulate(simulation, tmp_path / "bp4d", generator=Painter()).root
    source = BP4D(root)
    assert len(source) == 180
    assert (root / "2D" / "F001" / "T2" / "0030.jpg").is_file()
    labels = source.labels.project(BP4D_12)
    assert not np.isnan(labels.occurrence).any()
    for number in range(3):
        rows = source.identities == number
        shown = shown_by(simulation, number, BP4D_12)
        assert (labels.occurrence[rows] == (shown > 0)).all()
        graded = source.labels.project(BP4D_INTENSITY).intensity[rows]
        assert (graded == shown[:, [BP4D_12.index(au) for au in BP4D_INTENSITY]]).all()


def test_what_the_generator_lacks_is_unknown_in_bp4d_and_refused_for_disfa(tmp_path: Path) -> None:
    aus = tuple(au for au in UNION_17 if au not in (14, 15))
    root = simulate(Simulation("bp4d", **SMALL), tmp_path / "bp4d", generator=Painter(aus=aus)).root
    labels = BP4D(root).labels.project(BP4D_12)
    assert labels.mask[:, BP4D_12.index(12)].all()
    assert not labels.mask[:, [BP4D_12.index(14), BP4D_12.index(15)]].any()
    with pytest.raises(ConfigurationError, match=r"no AUs \[15\]"):
        simulate(Simulation("disfa", **SMALL), tmp_path / "disfa", generator=Painter(aus=aus))
    assert not (tmp_path / "disfa" / "ActionUnit_Labels").exists()


def test_one_person_a_subject_and_none_of_a_streams_own(tmp_path: Path) -> None:
    painter = Painter()
    simulate(Simulation("disfa", **SMALL), tmp_path / "a", generator=painter)
    simulate(Simulation("bp4d", **SMALL), tmp_path / "b", generator=painter)
    simulate(Simulation("disfa", **SMALL, seed=1), tmp_path / "c", generator=painter)
    people = [set(call.identity.tolist()) for call in painter.calls]
    assert len(set().union(*people)) == 9
    assert all(len(each) == 1 for each in people)
    assert min(set().union(*people)) >= 1_000_000


def test_whole_blocks_are_asked_for_and_make_no_difference(tmp_path: Path) -> None:
    one = simulate(Simulation("disfa", **SMALL), tmp_path / "one", generator=Painter()).root
    seven = simulate(Simulation("disfa", **SMALL), tmp_path / "seven", generator=Painter(block_size=7)).root
    assert contents(one) == contents(seven)


def test_same_seed_same_tree_other_seed_another(tmp_path: Path) -> None:
    simulation = Simulation("disfa", **SMALL, layout="both")
    first = contents(simulate(simulation, tmp_path / "a", generator=Painter()).root)
    assert contents(simulate(simulation, tmp_path / "b", generator=Painter()).root) == first
    other = contents(
        simulate(Simulation("disfa", **SMALL, layout="both", seed=1), tmp_path / "c", generator=Painter()).root
    )
    assert other.keys() == first.keys()
    assert other["aligned_images/SN001/00001.jpg"] != first["aligned_images/SN001/00001.jpg"]


def test_frames_of_a_stretch_drift_and_are_no_copies(tmp_path: Path) -> None:
    asked = np.zeros((STRETCH * 2, 12), np.float32)
    painter = Painter(image_size=102)
    frames = [frame.image for frame in render_sequence(painter, asked, DISFA_12, 5, 96)]
    assert sum(len(call) for call in painter.calls) == 2
    steps = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(frames)]
    assert min(steps) > 0
    assert max(steps[: STRETCH - 1]) < 12


def test_an_interrupted_run_leaves_whole_subjects_and_goes_on_where_it_was(tmp_path: Path) -> None:
    simulation = Simulation("disfa", **SMALL, layout="both")
    undisturbed = Painter()
    whole = contents(simulate(simulation, tmp_path / "whole", generator=undisturbed).root)
    painter, root = Painter(), tmp_path / "tree"
    first = undisturbed.calls[0].identity[0]
    painter.stop_at = sum(call.identity[0] == first for call in undisturbed.calls)
    with pytest.raises(KeyboardInterrupt):
        simulate(simulation, root, generator=painter)
    assert [path.name for path in (root / "ActionUnit_Labels").iterdir()] == ["SN001"]
    assert [path.name for path in (root / "aligned_images").iterdir()] == ["SN001"]
    assert not list(root.glob(".*"))
    assert len(DISFA(root, frames="images")) == 60
    result = simulate(simulation, root, generator=Painter())
    assert (result.made, result.found) == (("SN002", "SN003"), ("SN001",))
    assert contents(root) == whole


def test_a_half_moved_subject_is_made_anew(tmp_path: Path) -> None:
    simulation = Simulation("bp4d", **SMALL)
    root = simulate(simulation, tmp_path, generator=Painter()).root
    whole = contents(root)
    (root / "AUCoding" / "AU_OCC" / "F002_T2.csv").unlink()
    (root / ".making-old").mkdir()
    assert simulate(simulation, root, generator=Painter()).made == ("F002",)
    assert contents(root) == whole


def test_nothing_is_made_twice(tmp_path: Path) -> None:
    simulate(Simulation("disfa", **SMALL), tmp_path, generator=Painter())
    painter = Painter()
    assert simulate(Simulation("disfa", **SMALL), tmp_path, generator=painter).made == ()
    assert not painter.calls


def test_a_tree_with_other_options_is_refused_unless_forced(tmp_path: Path) -> None:
    simulate(Simulation("disfa", **SMALL), tmp_path, generator=Painter())
    other = Simulation("disfa", **(SMALL | {"subjects": 2}))
    with pytest.raises(ConfigurationError, match="subjects 3 there, 2 asked"):
        simulate(other, tmp_path, generator=Painter())
    assert simulate(other, tmp_path, generator=Painter(), force=True).made == ("SN001", "SN002")
    assert len(DISFA(tmp_path)) == 120


def test_a_folder_of_other_origin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "README.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="not empty"):
        simulate(Simulation("disfa", **SMALL), tmp_path, generator=Painter())
    simulate(Simulation("disfa", **SMALL), tmp_path, generator=Painter(), force=True)
    assert (tmp_path / "notes.txt").read_text() == (tmp_path / "README.txt").read_text() == "mine"


@pytest.mark.parametrize("folder", ["ActionUnit_Labels", "SN001", "2D"])
def test_a_real_copy_is_never_touched(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "precious.txt").write_text("licensed")
    before = contents(tmp_path)
    with pytest.raises(ConfigurationError, match="not empty"):
        simulate(Simulation("disfa", **SMALL), tmp_path, generator=Painter(), force=True)
    assert contents(tmp_path) == before


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ausynth.simulated.files._write_jpeg", full)
    with pytest.raises(AusynthError, match="no space left for .*whole subjects are kept"):
        simulate(Simulation("disfa", **SMALL), tmp_path, generator=Painter())
    assert not list(tmp_path.glob(".*"))


def test_the_tree_says_what_it_is(tmp_path: Path) -> None:
    simulate(Simulation("disfa", **SMALL), tmp_path, generator=Painter())
    assert "NOT DISFA" in (tmp_path / "README.txt").read_text()
    record = json.loads((tmp_path / "simulate.json").read_text())
    assert record["generator_fingerprint"] == "painter-1"
    assert record["options"]["frames"] == 60


def test_progress_is_told_and_ends_at_the_total(tmp_path: Path) -> None:
    heard: list[tuple[int, int, str]] = []
    simulate(
        Simulation("disfa", **SMALL),
        tmp_path,
        generator=Painter(),
        progress=lambda done, total, who: heard.append((done, total, who)),
    )
    assert heard[0] == (0, 180, "SN001")
    assert heard[-1] == (180, 180, "SN003")
    assert [done for done, _, _ in heard] == sorted(done for done, _, _ in heard)


@pytest.mark.parametrize(
    "options",
    [
        {"dataset": "ck"},
        {"subjects": 0},
        {"subjects": 28},
        {"frames": 0},
        {"frames": 2.5},
        {"size": 16},
        {"seed": -1},
        {"layout": "zip"},
        {"codec": "h264"},
        {"run_length": 0},
        {"style": 1.0},
        {"dataset": "bp4d", "layout": "video"},
        {"layout": "video", "size": 49},
    ],
)
def test_wrong_options_are_refused(options: dict) -> None:
    with pytest.raises(ConfigurationError):
        Simulation(**({"dataset": "disfa"} | options))
