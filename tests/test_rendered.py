"""The rendered generator: the same conditions are the same bits, and every option does what it says."""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.generators import Conditions, Generated, Generator, load_generator
from ausynth.generators.rendered import kernels, mesh, raster, shade
from ausynth.generators.rendered.generator import _VERSION
from ausynth.testing.generators import check_generator

AUS = facs.UNION_17
STILL = {
    "yaw": 0, "pitch": 0, "roll": 0, "jitter": 0, "gaze": 0, "light": 0, "background": 0, "asymmetry": 0, "grain": 0,
    "distance": (65, 65),
}  # fmt: skip


@functools.cache
def small() -> Generator:
    return load_generator("rendered", image_size=48)


def some_conditions(count: int, seed: int = 0) -> Conditions:
    draw = np.random.default_rng(seed)
    intensity = draw.integers(0, 6, (count, len(AUS))) * (draw.random((count, len(AUS))) < 0.2)
    return Conditions(intensity.astype(np.float32), draw.integers(0, 50, count), draw.integers(0, 10**9, count))


def conditions_of(asked: dict[int, float], identity: int = 3, noise: int = 0) -> Conditions:
    intensity = np.array([[asked.get(au, 0) for au in AUS]], np.float32)
    return Conditions(intensity, np.array([identity]), np.array([noise]))


def picture(conditions: Conditions, **options: object) -> np.ndarray:
    return load_generator("rendered", image_size=64, **(STILL | options)).generate(conditions).images[0].astype(int)


def test_it_keeps_the_generators_contract() -> None:
    check_generator(small(), samples=6)


@pytest.mark.parametrize("size", [32, 57])
def test_any_size_keeps_the_contract(size: int) -> None:
    check_generator(load_generator("rendered", image_size=size, supersample=1), samples=2)


def test_a_second_generator_gives_the_same_bits() -> None:
    conditions = some_conditions(4)
    assert np.array_equal(
        load_generator("rendered", image_size=48).generate(conditions).images, made(conditions).images
    )


def made(conditions: Conditions) -> Generated:
    return small().generate(conditions)


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(6)), cut=st.integers(1, 5))
def test_companions_do_not_matter(order: list[int], cut: int) -> None:
    conditions = some_conditions(6)
    whole = made(conditions)
    for part in (order[:cut], order[cut:]):
        rows = np.array(part)
        some = made(Conditions(conditions.intensity[rows], conditions.identity[rows], conditions.noise[rows]))
        assert np.array_equal(some.images, whole.images[rows])
        assert np.array_equal(some.labels.intensity, whole.labels.intensity[rows])


def test_threads_give_the_same_bits() -> None:
    """With a fresh generator, so that the threads also race for the people."""
    conditions, fresh = some_conditions(8), load_generator("rendered", image_size=48)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: fresh.generate(conditions).images, range(4)))
    assert all(np.array_equal(images, made(conditions).images) for images in results)


def _in_child(connection: multiprocessing.connection.Connection) -> None:
    connection.send_bytes(load_generator("rendered", image_size=48).generate(some_conditions(3)).images.tobytes())


@pytest.mark.parametrize(
    "method", ["spawn", pytest.param("fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork"))]
)
def test_other_processes_give_the_same_bits(method: str) -> None:
    expected = made(some_conditions(3)).images.tobytes()
    context = multiprocessing.get_context(method)
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_in_child, args=(there,))
    child.start()
    there.close()
    found = here.recv_bytes()
    child.join()
    here.close()
    assert found == expected


def test_the_global_random_state_is_neither_read_nor_moved() -> None:
    conditions = some_conditions(2)
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = made(conditions).images
    assert np.array_equal(np.random.get_state()[1], before)
    np.random.seed(1)
    assert np.array_equal(made(conditions).images, first)


def test_importing_the_package_does_not_import_numba() -> None:
    code = (
        "import sys, ausynth.generators, ausynth.generators.rendered, ausynth.testing.generators;"
        "sys.exit('numba' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rendering_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from ausynth.generators import load_generator, Conditions; import numpy as np\n"
        "load_generator('rendered', image_size=32).generate("
        "Conditions(np.zeros((1, 17), np.float32), np.zeros(1, int), np.zeros(1, int)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# What is seen


def test_the_face_fills_the_picture() -> None:
    empty = picture(conditions_of({}))[0, 0]
    for identity in range(4):
        face = picture(conditions_of({}, identity))
        covered = (np.abs(face - empty).sum(-1) > 12).mean()
        assert 0.4 < covered < 0.95


def test_every_au_is_seen() -> None:
    neutral = picture(conditions_of({}))
    for au in AUS:
        difference = np.abs(picture(conditions_of({au: 5})) - neutral).max(-1)
        assert (difference > 12).sum() > 15, au


def test_an_au_is_seen_where_it_acts() -> None:
    """Rows of the picture: brows and eyes lie above row 26, the mouth below row 36."""
    neutral = picture(conditions_of({}))
    for au in AUS:
        difference = np.abs(picture(conditions_of({au: 5})) - neutral).sum((1, 2))
        upper, lower = difference[:26].sum(), difference[36:].sum()
        if au in (1, 2, 4, 5):
            assert upper > 5 * lower, au
        if au in (12, 14, 15, 17, 20, 23, 24, 25, 26):
            assert lower > 5 * upper, au


def test_no_pose_and_no_light_make_a_symmetric_picture() -> None:
    face = picture(conditions_of({}))
    mirrored = face[:, ::-1]
    assert np.abs(face - mirrored).mean() < 6  # skin and hair are uneven, the head is not


@pytest.mark.parametrize("option", ["yaw", "pitch", "roll", "jitter", "gaze", "light", "background", "grain"])
def test_noise_acts_through_each_option_and_only_through_them(option: str) -> None:
    values = {"yaw": 10, "pitch": 6, "roll": 5, "jitter": 0.05, "gaze": 8, "light": 1, "background": 1, "grain": 4}
    first, second = conditions_of({12: 3}, noise=1), conditions_of({12: 3}, noise=2)
    assert np.array_equal(picture(first), picture(second))
    assert not np.array_equal(picture(first, **{option: values[option]}), picture(second, **{option: values[option]}))


def test_distance_changes_the_perspective() -> None:
    near, far = picture(conditions_of({}), distance=(35, 35)), picture(conditions_of({}), distance=(300, 300))
    assert np.abs(near - far).mean() > 2


def test_asymmetry_changes_expressions_and_not_the_neutral_face() -> None:
    assert np.array_equal(picture(conditions_of({}), asymmetry=0.3), picture(conditions_of({})))
    assert not np.array_equal(picture(conditions_of({12: 5}), asymmetry=0.3), picture(conditions_of({12: 5})))


def test_another_identity_is_another_face_and_another_noise_is_not() -> None:
    generator = load_generator("rendered", image_size=64, **STILL)
    first, other = (generator.generate(conditions_of({}, identity)).images[0] for identity in (8, 9))
    again = generator.generate(conditions_of({}, 8, noise=77)).images[0]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_pictures_are_neither_black_nor_burnt_out() -> None:
    images = made(some_conditions(40, seed=3)).images.astype(float)
    means = images.mean((1, 2, 3))
    assert 30 < means.min() < means.max() < 225
    assert ((images >= 254).all(-1)).mean((1, 2)).max() < 0.25


# Labels


def test_labels_come_with_the_pictures() -> None:
    labels = made(conditions_of({12: 4, 6: 3, 26: 4})).labels
    assert labels.aus == AUS
    assert labels.intensity[0, [AUS.index(au) for au in (6, 12, 26)]].tolist() == [3, 4, 4]
    assert labels.intensity[0, AUS.index(25)] > 2  # nobody asked, but the dropped jaw parts the lips
    assert labels.occurrence[0, AUS.index(25)] == 1


def test_labels_do_not_depend_on_the_noise() -> None:
    asked = {1: 2, 10: 4, 25: 3}
    first, second = (made(conditions_of(asked, noise=noise)).labels for noise in (1, 2))
    assert np.array_equal(first.intensity, second.intensity)


# What is kept from one version, and one process, to the next


def test_a_changed_look_is_another_version() -> None:
    """Means over sixteenths of three pictures: if they move, raise `_VERSION` in generator.py and renew them."""
    assert _VERSION == 2
    asked = np.zeros((3, 17), np.float32)
    asked[1, [4, 8, 15]] = (3, 4, 4)
    asked[2, [2, 7]] = 4
    conditions = Conditions(asked, np.array([1, 2, 3]), np.array([4, 5, 6]))
    images = load_generator("rendered", image_size=64).generate(conditions).images
    means = images.reshape(3, 4, 16, 4, 16, 3).mean((2, 4, 5))
    expected = [
        [[132, 91, 123, 115], [115, 121, 146, 110], [134, 97, 120, 103], [154, 94, 138, 142]],
        [[140, 139, 144, 127], [158, 148, 138, 144], [180, 135, 123, 160], [120, 118, 92, 103]],
        [[190, 71, 95, 180], [149, 71, 89, 181], [199, 58, 111, 188], [146, 70, 135, 183]],
    ]
    # Another processor rounds otherwise, which moves single pixels by a step or two, and never a mean by one.
    assert np.abs(means - expected).max() < 1


def test_compiled_code_is_stamped_with_its_sources() -> None:
    """numba itself looks at one file only; what it keeps must not outlive a change in another."""
    assert (
        hashlib.sha256(
            b"".join(path.read_bytes() for path in sorted(Path(kernels.__file__).parent.glob("*.py")))
        ).hexdigest()
        == kernels.SOURCES
    )
    for function in (shade.shade, raster.fill, mesh.shown_normals):
        assert function._cache._cache_file._source_stamp == kernels.SOURCES


# Options and refusals


def test_the_fingerprint_follows_the_options() -> None:
    base = load_generator("rendered", image_size=48)
    assert base.fingerprint == load_generator("rendered", image_size=48).fingerprint
    assert load_generator("rendered").image_size == 112
    assert base.fingerprint == load_generator("rendered", image_size=48, distance=[40, 90]).fingerprint
    changed = [{"image_size": 49}, {"yaw": 3}, {"light": 0.5}, {"distance": (50, 60)}, {"supersample": 1}]
    prints = {load_generator("rendered", **({"image_size": 48} | options)).fingerprint for options in changed}
    assert len(prints | {base.fingerprint}) == len(changed) + 1


def test_a_wrong_number_of_aus_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="12 columns.*17, one for each"):
        made(Conditions(np.zeros((1, 12), np.float32), np.zeros(1, int), np.zeros(1, int)))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rended", {}, "unknown generator 'rended'.*rendered"),
        ("rendered", {"jaw": 3}, "no option jaw.*supersample"),
        ("rendered", {"device": "cuda"}, "on device 'cuda'"),
        ("rendered", {"image_size": 16}, "image_size=16.*32 to"),
        ("rendered", {"image_size": 64.5}, "image_size=64.5.*whole"),
        ("rendered", {"yaw": -1}, "yaw=-1.*0 to 20"),
        ("rendered", {"yaw": float("nan")}, "yaw=nan"),
        ("rendered", {"light": 2}, "light=2.*0 to 1"),
        ("rendered", {"distance": (90, 40)}, "distance"),
        ("rendered", {"distance": 65}, "distance=65"),
        ("rendered", {"supersample": 0}, "supersample=0"),
        ("rendered", {"grain": "much"}, "grain='much'"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_generator(name, **options)


def test_no_conditions_are_no_pictures() -> None:
    nothing = made(Conditions(np.zeros((0, 17), np.float32), np.zeros(0, int), np.zeros(0, int)))
    assert nothing.images.shape == (0, 48, 48, 3)
    assert len(nothing.labels) == 0
