import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ausynth.errors import ConfigurationError, FrameError
from ausynth.sources.crop import CentreSquare, from_box, from_landmarks, make_crop, warp_into

FACE_5 = np.array([(40.0, 50.0), (60.0, 50.0), (50.0, 60.0), (42.0, 71.0), (58.0, 71.0)])
ANGLES = st.floats(-1.2, 1.2)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def similarity(angle, scale, shift):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    return np.concatenate([turn, np.reshape(shift, (2, 1))], axis=1)


def warp(image, matrix, height, width=None):
    out = np.full((height, width or height, 3), 99, np.uint8)
    warp_into(image, matrix, out)
    return out


def face_68(jaw_drop=0.0):
    """A frontal face with its eyes at (40, 50) and (60, 50), of iBUG's 68 points; only those that count are placed."""
    points = np.full((68, 2), 55.0)
    for rows, (x, y) in ((range(36, 42), (40, 50)), (range(42, 48), (60, 50))):
        around = np.linspace(0, 2 * np.pi, 6, endpoint=False)
        points[list(rows)] = np.stack([x + 3 * np.cos(around), y + np.sin(around)], axis=1)
    points[48], points[54] = (42, 71), (58, 71)
    points[57] = points[8] = (50, 76 + jaw_drop)
    return points


def named_crop(image):
    height, width = image.shape[:2]
    return from_box((width / 4, height / 4, 3 * width / 4, 3 * height / 4))


def no_face(image):
    return None


def broken_crop(image):
    return np.zeros((2, 3))


class HalfCrop:
    fingerprint = "half"

    def apply(self, image, index, out):
        out[:] = image[: out.shape[0], : out.shape[1]]


@given(st.integers(1, 70), st.integers(1, 70))
@settings(max_examples=30, deadline=None)
def test_the_whole_picture_at_its_own_size_is_exact(height, width):
    image = noise(height, width)
    assert np.array_equal(warp(image, from_box((0, 0, width, height)), height, width), image)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_a_whole_box_at_its_own_size_is_the_slice(x, y, side):
    image = noise(50, 50)
    assert np.array_equal(warp(image, from_box((x, y, x + side, y + side)), side), image[y : y + side, x : x + side])


def test_shrinking_a_box_by_a_whole_factor_is_the_mean_of_its_pixels():
    image = noise(90, 120)
    out = warp(image, from_box((10, 20, 70, 80)), 20)
    mean = image[20:80, 10:70].reshape(20, 3, 20, 3, 3).mean(axis=(1, 3))
    assert np.abs(out - mean).max() <= 0.5 + 1e-6


@given(ANGLES, st.floats(2, 18), st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.sampled_from([6, 24]))
@settings(max_examples=100, deadline=None)
def test_every_pixel_shows_the_place_that_the_matrix_says(angle, span, x, y, side):
    """The picture is a ramp of 8 grey levels a pixel, so a level says where it was sampled, to a sixth of a pixel."""
    rows, columns = np.mgrid[:31, :31]
    image = np.stack([8 * columns, 8 * rows, 0 * rows], axis=2).astype(np.uint8)
    to_unit = similarity(-angle, 1 / span, (0, 0))
    to_unit[:, 2] = 0.5 - to_unit[:, :2] @ (15.5 + x, 15.5 + y)
    out = warp(image, to_unit, side).astype(float)
    centres = (np.mgrid[:side, :side][::-1] + 0.5) / side
    inverse = np.linalg.inv(np.vstack([to_unit, [0, 0, 1]]))
    expected = np.einsum("ab,byx->yxa", inverse[:2, :2], centres) + inverse[:2, 2]
    error = out[:, :, :2] - 8 * (expected - 0.5)
    assert np.abs(error).max() <= 2 * 0.5 + 8 / 32  # two roundings, and cv2's steps of 1/32 pixel


@given(st.floats(480, 540), st.floats(350, 420), ANGLES)
@settings(max_examples=20, deadline=None)
def test_a_marker_of_a_large_frame_lands_where_the_matrix_says(x, y, angle):
    rows, columns = np.mgrid[:768, :1024]
    blob = 255 * np.exp(-((columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2) / (2 * 12**2))
    image = np.repeat(np.rint(blob).astype(np.uint8)[:, :, None], 3, axis=2)
    to_unit = similarity(angle, 1 / 400, (0, 0))
    to_unit[:, 2] = 0.5 - to_unit[:, :2] @ (512, 384)
    out = warp(image, to_unit, 112)[:, :, 0].astype(float)
    there = np.array([(out.sum(axis=axis) * (np.arange(112) + 0.5)).sum() / out.sum() for axis in (0, 1)])
    assert np.abs(there - 112 * (to_unit @ (x, y, 1))).max() < 0.05


def test_shrinking_averages_as_much_as_resizing_by_area_does():
    """White noise keeps the more contrast, the fewer picture pixels each output pixel averages: aliasing."""
    image = noise(768, 1024)
    by_area = cv2.resize(image[195:547, 320:672], (112, 112), interpolation=cv2.INTER_AREA).astype(float)
    assert warp(image, from_box((320, 195, 672, 547)), 112).astype(float).std() < 1.1 * by_area.std()
    for angle in (0, 0.3, 0.8):
        points = FACE_5 - (50, 60)
        points = points @ similarity(angle, 5.5, (0, 0))[:, :2].T + (512, 384)  # a face of 352 pixels
        out = np.empty((112, 112, 3), np.uint8)
        make_crop("landmarks", landmarks=lambda _, points=points: points).apply(image, 0, out)
        assert out.astype(float).std() < 1.1 * by_area.std()


def test_beyond_the_edge_the_edge_is_continued():
    out = warp(noise(20, 20), from_box((-10, 0, 10, 20)), 20)
    assert np.array_equal(out[:, :10], np.repeat(out[:, 10:11], 10, axis=1))


@given(ANGLES, st.floats(0.2, 20), st.floats(-500, 500), st.floats(-500, 500))
@settings(max_examples=50, deadline=None)
def test_a_face_lands_in_the_same_place_wherever_it_was(angle, scale, x, y):
    moved = similarity(angle, scale, (x, y))
    there = (moved @ np.concatenate([FACE_5.T, np.ones((1, 5))])).T
    in_unit = (from_landmarks(there) @ np.concatenate([there.T, np.ones((1, 5))])).T
    assert np.allclose(in_unit, (from_landmarks(FACE_5) @ np.concatenate([FACE_5.T, np.ones((1, 5))])).T, atol=1e-9)
    assert np.allclose(in_unit[0, 1], 0.3)
    assert np.allclose(in_unit[1, 1], 0.3)
    assert np.allclose(in_unit[:2, 0], (0.5 - 1 / 6.4, 0.5 + 1 / 6.4))


def test_66_and_68_points_and_5_agree():
    full = face_68()
    assert np.allclose(from_landmarks(full), from_landmarks(np.delete(full, (60, 64), axis=0)))
    assert np.allclose(from_landmarks(full), from_landmarks(FACE_5))


def test_an_open_mouth_does_not_zoom_and_a_turned_head_does_not_shrink_the_view():
    assert np.allclose(from_landmarks(face_68(jaw_drop=20)), from_landmarks(face_68()))
    turned = FACE_5.copy()
    turned[:, 0] = 50 + (turned[:, 0] - 50) * 0.3  # eyes closer together, mouth as far below as before
    zoom = from_landmarks(turned)[0, 0] / from_landmarks(FACE_5)[0, 0]
    assert 1 < zoom < 1.3


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.zeros((68, 2)), "no face"),
        (FACE_5 * (1, -1), "no face"),
        (np.where(FACE_5 == 71, np.nan, FACE_5), "no face"),
        (np.zeros((49, 2)), r"\(49, 2\)"),
        ([1, 2, 3], r"\(3,\)"),
    ],
)
def test_landmarks_that_are_none_are_refused(points, words):
    with pytest.raises(ConfigurationError, match=words):
        from_landmarks(points)


def test_a_failed_detection_is_a_frame_error():
    crop = make_crop("landmarks", landmarks=lambda index: np.zeros((68, 2)))
    with pytest.raises(FrameError, match="picture 7"):
        crop.apply(noise(9, 9), 7, np.empty((4, 4, 3), np.uint8))


@pytest.mark.parametrize("box", [(0, 0, 0, 1), (0, 0, 1), (3, 0, 1, 1), (0, 0, np.inf, 1)])
def test_a_box_that_is_none_is_refused(box):
    with pytest.raises(ConfigurationError, match="x0 < x1"):
        from_box(box)


def test_a_function_says_where_the_face_is():
    image = noise(40, 40)
    out = np.empty((20, 20, 3), np.uint8)
    crop = make_crop(named_crop)
    crop.apply(image, 0, out)
    assert np.array_equal(out, image[10:30, 10:30])
    assert crop.fingerprint.endswith("named_crop")
    copy = pickle.loads(pickle.dumps(crop))
    copy.apply(image, 0, out)
    assert copy.fingerprint == crop.fingerprint


def test_a_function_that_finds_no_face_or_returns_no_matrix():
    with pytest.raises(FrameError, match="no_face finds no face"):
        make_crop(no_face).apply(noise(9, 9), 3, np.empty((4, 4, 3), np.uint8))
    with pytest.raises(ConfigurationError, match="broken_crop returned"):
        make_crop(broken_crop).apply(noise(9, 9), 3, np.empty((4, 4, 3), np.uint8))


def test_a_crop_object_is_taken_as_it_is_and_none_is_the_centre():
    crop = HalfCrop()
    assert make_crop(crop) is crop
    image, out = noise(30, 50), np.empty((30, 30, 3), np.uint8)
    make_crop("none").apply(image, 0, out)
    assert np.array_equal(out, image[:, 10:40])
    assert isinstance(make_crop("none"), CentreSquare)


def test_fingerprints_differ():
    crops = (make_crop("none"), make_crop("landmarks", landmarks=face_68), make_crop(named_crop), make_crop(no_face))
    assert len({crop.fingerprint for crop in crops}) == len(crops)


@pytest.mark.parametrize(
    ("align", "words"),
    [("landmarks", "without landmarks"), ("face", "align='face'"), (3, "align=3"), (lambda image: None, "no name")],
)
def test_what_align_does_not_take(align, words):
    with pytest.raises(ConfigurationError, match=words):
        make_crop(align)
