"""The MAUGen that comes with the package: it is whole, small enough, good enough, and paints what it is asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ausynth
from ausynth import facs
from ausynth.generators import Conditions, resolve_auto
from ausynth.generators.maugen import shipped

folder = shipped.shipped()
pytestmark = pytest.mark.skipif(folder is None, reason="the weights of MAUGen were left out of this installation")


def test_it_is_small_and_says_where_it_comes_from() -> None:
    assert folder is not None
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 40e6
    card = (folder / "README.md").read_text("utf-8")
    assert all(
        word in card for word in ("CC BY 4.0", "DeBruine and Jones 2017", "webmorphR.stim", "examples/mini/train.sh")
    )
    record = json.loads((folder / "training.json").read_text("utf-8"))
    assert not any(subject.startswith(("disfa:", "bp4d:")) for subject in record["trained_on"])


def test_auto_stands_for_it_where_it_knows_the_action_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUSYNTH_GENERATOR", raising=False)
    passed, _ = shipped.verdict(shipped.figures_of(shipped.SHIPPED))
    assert resolve_auto(facs.DISFA_12).name == ("maugen" if passed else "rendered")
    assert resolve_auto(facs.BP4D_12).name == "rendered"


def test_what_is_asked_for_is_what_its_labels_read() -> None:
    generator = ausynth.load_generator("maugen", device="cpu")
    assert generator.aus == facs.DISFA_12
    asked = np.zeros((16, 12), np.float32)
    asked[:8, generator.aus.index(12)] = 4
    asked[8:, generator.aus.index(4)] = 4
    made = generator.generate(Conditions(asked, np.arange(16), np.arange(16)))
    assert made.images.shape == (16, 64, 64, 3)
    there = np.nan_to_num(made.labels.occurrence)
    for rows, au in ((slice(0, 8), 12), (slice(8, 16), 4)):
        column = there[:, generator.aus.index(au)]
        assert column[rows].mean() > 0.6
        assert np.delete(column, np.r_[rows]).mean() < 0.3
    known = made.labels.mask
    assert (made.labels.confidence[known] >= 0.6).all()
