from __future__ import annotations

import numpy as np
import pytest

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.labels import Labels
from ausynth.sheets import au_sheet, batch_sheet

GREY = 128
BLUE, ORANGE, RED = (31, 104, 172), (214, 96, 20), (190, 30, 45)


def pictures(count: int) -> np.ndarray:
    return np.full((count, 40, 40, 3), GREY, np.uint8)


def holds(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(axis=2).sum())


def one(intensity: float, occurrence: float | None = None) -> Labels:
    labels = Labels.from_intensity((12,), [[intensity]])
    if occurrence is not None:
        labels.occurrence[:] = occurrence
    return labels


def draw(labels: Labels, synthetic: list[bool], **options: object) -> np.ndarray:
    captions = [f"person {i}" for i in range(len(labels))]
    return batch_sheet(pictures(len(labels)), labels, synthetic, captions, title="title", **options)  # type: ignore[arg-type]


def test_real_and_synthetic_have_their_own_borders() -> None:
    labels = Labels.from_intensity((1, 12), np.zeros((2, 2)))
    legend_only = holds(draw(labels, [True, True]), BLUE)
    mixed = draw(labels, [False, True])
    assert holds(mixed, BLUE) > legend_only
    assert holds(mixed, ORANGE) > holds(draw(labels, [False, False]), ORANGE)
    assert mixed.dtype == np.uint8
    assert holds(mixed, (GREY, GREY, GREY)) >= 2 * 170 * 170


def test_a_stronger_action_is_drawn_darker() -> None:
    chips = [draw(one(level), [True])[-40:, 20:210].astype(int) for level in range(6)]
    means = [chip.mean() for chip in chips]
    assert means == sorted(means, reverse=True)
    assert len(set(means)) == 6


def test_unknown_absent_and_ungraded_look_different() -> None:
    nan = float("nan")
    kinds = [one(0.0), one(nan), one(nan, 1.0), one(3.0)]
    sheets = [draw(labels, [False]) for labels in kinds]
    for i, first in enumerate(sheets):
        for second in sheets[i + 1 :]:
            assert (first != second).any()


@pytest.mark.parametrize("count", [1, 3, 8, 33])
@pytest.mark.parametrize("aus", [(12,), (1, 2, 4, 6, 9, 12, 25, 26), facs.UNION_17])
def test_any_number_of_pictures_and_actions_has_a_place(count: int, aus: tuple[int, ...]) -> None:
    labels = Labels.from_intensity(aus, np.full((count, len(aus)), 2.0))
    sheet = draw(labels, [i % 2 == 0 for i in range(count)])
    assert holds(sheet, (GREY, GREY, GREY)) >= count * 170 * 170


def test_long_texts_do_not_leave_their_cell() -> None:
    long = batch_sheet(pictures(2), one(1.0)[[0, 0]], [True, True], ["w" * 200, ""], title="t", subtitle="s")
    short = batch_sheet(pictures(2), one(1.0)[[0, 0]], [True, True], ["w", ""], title="t", subtitle="s")
    second_cell = slice(20 + 192 + 16, None)
    assert (long[:, second_cell] == short[:, second_cell]).all()


def test_pictures_that_are_not_square_keep_their_shape() -> None:
    wide = np.full((1, 20, 40, 3), GREY, np.uint8)
    sheet = batch_sheet(wide, one(0.0), [False], [""], title="t")
    assert 0.45 < holds(sheet, (GREY, GREY, GREY)) / 180**2 < 0.55


def test_another_word_for_real() -> None:
    assert (draw(one(0.0), [False]) != draw(one(0.0), [False], real="practice")).any()


@pytest.mark.parametrize(
    ("images", "flags", "captions"),
    [
        (pictures(2), [True], ["a"]),
        (pictures(1), [True, False], ["a"]),
        (pictures(1), [True], []),
        (pictures(0), [], []),
        (pictures(1).astype(np.float32), [True], ["a"]),
        (pictures(1)[0], [True], ["a"]),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(images: np.ndarray, flags: list, captions: list) -> None:
    with pytest.raises(ConfigurationError):
        batch_sheet(images, one(1.0), flags, captions, title="t")


def sheet_of(labels: Labels) -> np.ndarray:
    return au_sheet({12: pictures(len(labels))}, {12: labels}, title="t")


def test_what_was_not_asked_stands_out() -> None:
    asked = Labels.from_intensity((12, 25), [[level, 0.0] for level in range(6)])
    more = Labels.from_intensity((12, 25), [[level, 2.0 if level == 5 else 0.0] for level in range(6)])
    weaker = Labels.from_intensity((12, 25), [[min(level, 3), 0.0] for level in range(6)])
    assert holds(sheet_of(asked), RED) == 0
    assert holds(sheet_of(more), RED) > 0
    assert holds(sheet_of(weaker), RED) > 0


def test_every_action_has_its_row_of_pictures() -> None:
    aus = (1, 2, 4, 6, 9, 12, 25)
    labels = {au: Labels.from_intensity(aus, [[v if a == au else 0 for a in aus] for v in range(6)]) for au in aus}
    sheet = au_sheet(dict.fromkeys(aus, pictures(6)), labels, title="t", picture=60)
    assert holds(sheet, (GREY, GREY, GREY)) >= len(aus) * 6 * 58 * 58


def test_labels_of_other_actions_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        au_sheet({}, {}, title="t")
    with pytest.raises(ConfigurationError):
        au_sheet({12: pictures(1)}, {25: one(0.0)}, title="t")
    with pytest.raises(ConfigurationError):
        au_sheet({25: pictures(1)}, {25: one(0.0)}, title="t")
