import numpy as np
import pytest
import torch

from ausynth.errors import ConfigurationError
from ausynth.presets import PRESETS, preset

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def picture(size):
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def apply(arguments, image, seed=0):
    arguments["transform"].set_random_seed(seed)
    return arguments["transform"](image=image)["image"]


def normalised(image, mean=MEAN, std=STD):
    return ((image / 255 - mean) / std).transpose(2, 0, 1).astype(np.float32)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_what_its_script_expects(name, train):
    arguments = preset(name, train=train)
    assert set(arguments) == {"image_size", "transform", "as_tuple"}
    side = PRESETS[name].crop or PRESETS[name].image_size
    out = apply(arguments, picture(arguments["image_size"]))
    assert out.dtype == torch.float32
    assert out.shape == (3, side, side)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_seeded(name):
    arguments = preset(name)
    image = picture(arguments["image_size"])
    outs = [apply(arguments, image, seed) for seed in (1, 2, 3, 4, 1)]
    assert torch.equal(outs[0], outs[4])
    moves = PRESETS[name].crop is not None
    assert any(not torch.equal(outs[0], out) for out in outs[1:4]) == moves


def test_megraph_tests_on_the_normalised_centre():
    image = picture(256)
    out = apply(preset("MEGraph", train=False), image).numpy()
    assert np.abs(out - normalised(image[16:240, 16:240])).max() < 1e-5


def test_megraph_trains_on_crops_flips_and_jitter_of_40_percent():
    """On a picture whose red says the column and whose green says the row, every draw can be read off."""
    arguments = preset("megraph")
    grey = np.full((256, 256, 3), 100, np.uint8)
    brightness = [float((apply(arguments, grey, seed)[0, 0, 0] * STD[0] + MEAN[0]) * 255) for seed in range(200)]
    assert 55 < min(brightness) < 70
    assert 130 < max(brightness) < 145
    rows, columns = np.mgrid[:256, :256]
    ramp = np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8)
    plain = preset("libreface")  # the same crop and flip, without jitter
    lefts, tops, flips = set(), set(), set()
    for seed in range(60):
        out = apply(plain, ramp, seed).numpy().transpose(1, 2, 0)
        place = np.rint((out * STD + MEAN) * 255)
        assert np.ptp(place[:, 0, 0]) == 0
        lefts.add(place[0, :, 0].min())
        tops.add(place[0, 0, 1])
        flips.add(place[0, 0, 0] > place[0, -1, 0])
        assert (np.abs(np.diff(place[0, :, 0])) == 1).all()
    assert flips == {True, False}
    assert len(lefts) > 15
    assert len(tops) > 15
    assert max(*lefts, *tops) <= 32


def test_fgnet_scales_to_one_and_changes_nothing_else():
    image = picture(256)
    for train in (True, False):
        out = apply(preset("fgnet", train=train), image, seed=5).numpy()
        assert np.abs(out - normalised(image, 0.5, 0.5)).max() < 1e-6


def test_jaanet_crops_176_of_200():
    image = picture(200)
    out = apply(preset("JAANet", train=False), image).numpy()
    assert np.abs(out - normalised(image[12:188, 12:188], 0.5, 0.5)).max() < 1e-6


def test_an_unknown_preset_names_those_that_exist():
    with pytest.raises(ConfigurationError, match="megraph, jaanet, libreface, fgnet"):
        preset("fmae")
