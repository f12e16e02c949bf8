import cv2
import numpy as np
import pytest

from ausynth.errors import FrameError
from ausynth.sources.images import ImageFiles, decode_image

PROGRESSIVE = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
RESTARTS = [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]


def picture(height=90, width=120):
    rough = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(rough, (0, 0), 2)


def encode(image_RGB, suffix=".jpg", options=()):
    return cv2.imencode(suffix, image_RGB[:, :, ::-1], list(options))[1].tobytes()


def with_segment(jpeg, marker, body):
    return jpeg[:2] + bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def with_thumbnail(jpeg):
    return with_segment(jpeg, 0xE1, b"Exif\0\0II*\0" + bytes(20) + encode(picture(20, 30)))


JPEGS = {
    "baseline": encode(picture()),
    "progressive": encode(picture(), options=PROGRESSIVE),
    "restart markers": encode(picture(), options=RESTARTS),
    "thumbnail": with_thumbnail(encode(picture())),
    "fill bytes": b"\xff\xd8\xff\xff\xff" + encode(picture())[3:],
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_whole_jpeg_is_decoded(kind):
    assert np.abs(decode_image(JPEGS[kind], "x").astype(int) - picture()).mean() < 6


@pytest.mark.parametrize("kind", JPEGS)
def test_a_truncated_jpeg_is_refused_wherever_it_ends(kind):
    data = JPEGS[kind]
    lengths = {1, 2, 3, 20, len(data) - 1, len(data) - 2, len(data) - 3, *range(4, len(data), 97)}
    for length in lengths:
        with pytest.raises(FrameError, match=r"a\.jpg"):
            decode_image(data[:length], "a.jpg")


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_whose_tail_was_never_written_is_refused(kind):
    data = JPEGS[kind]
    with pytest.raises(FrameError, match="end before"):
        decode_image(data[: len(data) // 2] + bytes(len(data) // 2), "a.jpg")


@pytest.mark.parametrize("tail", [b"\0" * 100, b"trailer", b"\xff\xda junk", JPEGS["baseline"], b"\r\n"])
def test_what_follows_the_end_does_not_matter(tail):
    whole = decode_image(JPEGS["baseline"], "x")
    assert np.array_equal(decode_image(JPEGS["baseline"] + tail, "x"), whole)


def test_markers_inside_a_comment_do_not_count():
    data = with_segment(JPEGS["baseline"], 0xFE, b"\xff\xda\xff\xd9")
    assert np.array_equal(decode_image(data, "x"), decode_image(JPEGS["baseline"], "x"))
    with pytest.raises(FrameError, match="end before"):
        decode_image(data[: len(data) // 2], "x")


def test_an_orientation_tag_does_not_turn_the_stored_pixels():
    tag = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = with_segment(JPEGS["baseline"], 0xE1, b"Exif\0\0" + tag)
    assert np.array_equal(decode_image(data, "x"), decode_image(JPEGS["baseline"], "x"))


def test_png_and_bmp_are_exact_and_refused_when_truncated():
    for suffix in (".png", ".bmp"):
        data = encode(picture(), suffix)
        assert np.array_equal(decode_image(data, "x"), picture())
        for length in (5, len(data) // 2, len(data) - 20):
            with pytest.raises(FrameError, match="damaged"):
                decode_image(data[:length], "x")


def test_grey_16_bit_and_transparent_pictures_become_three_channels_of_8_bits():
    grey = picture()[:, :, 0]
    assert np.array_equal(decode_image(cv2.imencode(".png", grey)[1].tobytes(), "x"), np.stack([grey] * 3, axis=2))
    deep = decode_image(cv2.imencode(".png", grey.astype(np.uint16) * 257)[1].tobytes(), "x")
    assert deep.dtype == np.uint8
    assert np.array_equal(deep[:, :, 0], grey)
    clear = np.concatenate([picture()[:, :, ::-1], np.full((90, 120, 1), 9, np.uint8)], axis=2)
    assert np.array_equal(decode_image(cv2.imencode(".png", clear)[1].tobytes(), "x"), picture())
    jpeg = decode_image(cv2.imencode(".jpg", grey)[1].tobytes(), "x")
    assert jpeg.shape == (90, 120, 3)
    assert np.array_equal(jpeg[:, :, 0], jpeg[:, :, 2])


@pytest.mark.parametrize(("data", "words"), [(b"", "empty"), (b"no picture at all", "not a picture")])
def test_what_is_no_picture(data, words):
    with pytest.raises(FrameError, match=words) as caught:
        decode_image(data, "some/face.jpg")
    assert caught.value.path == "some/face.jpg"


def test_a_header_that_promises_too_many_pixels_is_a_frame_error():
    data = bytearray(encode(picture(), ".png"))
    data[16:24] = (2**31 - 1).to_bytes(4, "big") * 2
    with pytest.raises(FrameError, match="huge"):
        decode_image(bytes(data), "huge.png")


def test_files_are_read_and_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").write_bytes(encode(picture(), ".png"))
    files = ImageFiles(tmp_path, ["a/b.png", "a/none.png", "a"])
    assert np.array_equal(files.load(0), picture())
    assert (len(files), files.describe(0)) == (3, "a/b.png")
    for index in (1, 2):
        with pytest.raises(FrameError, match=files.paths[index]):
            files.load(index)
