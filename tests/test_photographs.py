"""The main job on real photographs, laid out as DISFA and BP4D; skipped where those are absent."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice

import numpy as np
import pytest
import torch
from fakes import FakeGenerator
from torch.utils.data import DataLoader

import ausynth
from ausynth import facs


@pytest.fixture(scope="session")
def lay_out(test_data, tmp_path_factory):
    """Return a function that makes a tree of photographs with one of the tools beside the data, once."""
    made = {}

    def lay_out(tool, *options):
        script = test_data.parent / "tools" / f"{tool}.py"
        if not script.is_file():
            pytest.skip(f"no {script.name} beside the photographs")
        if (tool, *options) not in made:
            folder = tmp_path_factory.mktemp(tool)
            subprocess.run([sys.executable, str(script), str(folder), *options], check=True)
            made[tool, *options] = folder
        return made[tool, *options]

    return lay_out


LAYOUTS = {
    "intra-only video": ("photo_disfa", "--frames", "30", "--codec", "MJPG"),
    "inter-frame video": ("photo_disfa", "--frames", "30", "--codec", "XVID"),
    "frames": ("photo_disfa", "--frames", "30", "--layout", "frames"),
}


def disfa_files(root, subject):
    """Return (frames, 12) intensities of a subject, read by the simplest possible means."""
    folder = root / "ActionUnit_Labels" / subject
    columns = []
    for au in facs.DISFA_12:
        lines = (folder / f"{subject}_au{au}.txt").read_text().splitlines()
        columns.append([int(line.split(",")[1]) for line in lines])
    return np.array(columns).T


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_main_example_runs_on_photographs(layout, lay_out, monkeypatch):
    root = lay_out(*LAYOUTS[layout])
    monkeypatch.setenv("AUSYNTH_DISFA_ROOT", str(root))
    stream = ausynth.MixedStream(real="disfa", ratio=0.5, hold_out="P1", batch_size=64)
    assert stream.aus == facs.DISFA_8
    for batch in islice(DataLoader(stream, batch_size=None), 2):
        assert batch["image"].shape == (64, 3, 112, 112)
        assert int(batch["synthetic"].sum()) == 32
        assert batch["mask"].all()
        real = {stream.identity_name(i).removeprefix("disfa:") for i in batch["identity"][~batch["synthetic"]]}
        assert not real & set(ausynth.sources.folds.PARTS["disfa"]["P1"])
        contrast = batch["image"].float().std(dim=(1, 2, 3))
        assert (contrast > 15).all(), "a picture without content"
    plain = DataLoader(ausynth.MixedStream(real="disfa", ratio=0.5), batch_size=64)
    assert int(next(iter(plain))["synthetic"].sum()) == 32


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_frame_comes_once_with_the_labels_of_its_line(layout, lay_out):
    root = lay_out(*LAYOUTS[layout])
    source = ausynth.open_source("disfa", root)
    stream = ausynth.MixedStream(source, ratio=0, balance=None, aus="disfa-12", batch_size=90)
    files = {subject: disfa_files(root, subject) for subject in source.subjects}
    shown = {subject: [] for subject in source.subjects}
    for batch in islice(stream, 9):
        for identity, intensity in zip(batch["identity"], batch["intensity"].numpy()):
            shown[stream.identity_name(identity).removeprefix("disfa:")].append(intensity)
    for subject, rows in shown.items():
        assert sorted(map(tuple, rows)) == sorted(map(tuple, files[subject].astype(np.float32))), subject


def test_pictures_and_labels_of_a_video_stay_together(lay_out):
    """A smile is labelled where the pixels show the smiling photograph: frames of one label look alike."""
    source = ausynth.open_source("disfa", lay_out(*LAYOUTS["inter-frame video"]))
    images = np.empty((len(source), 64, 64, 3), np.uint8)
    source.read(range(len(source)), images)
    smiles = source.labels.intensity[:, facs.DISFA_12.index(12)] > 0
    steps = np.abs(np.diff(images.astype(float), axis=0)).mean(axis=(1, 2, 3))
    same_person = source.identities[1:] == source.identities[:-1]
    changes = (smiles[1:] != smiles[:-1])[same_person]
    assert changes.sum() > 10
    assert steps[same_person][changes].min() > 2 * np.median(steps[same_person][~changes])


def test_both_sets_in_one_stream_carry_masks(lay_out):
    roots = {"disfa": lay_out(*LAYOUTS["frames"]), "bp4d": lay_out("photo_bp4d")}
    stream = ausynth.MixedStream(
        real=["disfa", "bp4d"], root=roots, ratio=1 / 3, fold="megraph:1", weights=[1, 1], batch_size=60
    )
    assert stream.aus == facs.union("disfa-8", "bp4d-12")
    batch = stream.batch(0)
    assert torch.bincount(batch["source"]).tolist() == [20, 20, 20]
    column = {au: i for i, au in enumerate(stream.aus)}
    disfa, bp4d, synthetic = (batch["mask"][batch["source"] == s] for s in range(3))
    assert disfa[:, [column[au] for au in facs.DISFA_8]].all()
    assert not disfa[:, [column[au] for au in (7, 10, 14, 23, 24)]].any()
    assert bp4d[:, [column[au] for au in (6, 12)]].all()  # what the approximate labels of the photographs cover
    assert not bp4d[:, [column[au] for au in (7, 10, 26)]].any()
    assert synthetic.all()
    held_out = set(ausynth.sources.folds.PARTS["disfa"]["P3"]) | set(ausynth.sources.folds.PARTS["bp4d"]["P3"])
    names = {stream.identity_name(i).split(":")[1] for b in islice(stream, 5) for i in b["identity"]}
    assert not names & held_out


@pytest.mark.parametrize("digits", ["3", "4"])
def test_bp4d_photographs_by_frame_number(digits, lay_out):
    root = lay_out("photo_bp4d", "--digits", digits, "--subjects", "4")
    source = ausynth.open_source("bp4d", root)
    stream = ausynth.MixedStream(source, generator=FakeGenerator(), image_size=64, batch_size=32)
    known = stream.batch(0)["mask"][~stream.batch(0)["synthetic"]]
    assert known.any()
    assert not known.all()
    six = source.labels.intensity[:, source.labels.aus.index(6)]
    assert np.isnan(six[2])  # coded 9 in frame 3
    assert source.labels.occurrence[2, source.labels.aus.index(6)] in (0, 1)
