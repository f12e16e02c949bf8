"""MAUGen as a pipeline of diffusers and behind the generator protocol; the whole chain from warmup to a stream."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from maugen_fakes import AUS, TINY, faces_of, pipeline_of
from typer.testing import CliRunner

import ausynth
from ausynth.cli import app
from ausynth.errors import ConfigurationError, StoreError
from ausynth.generators.base import Conditions
from ausynth.generators.maugen import shipped
from ausynth.generators.maugen.generator import MAUGenGenerator
from ausynth.generators.maugen.options import TrainOptions
from ausynth.generators.maugen.people import People
from ausynth.generators.maugen.pipeline import MAUGenPipeline, labels_of
from ausynth.generators.maugen.sampling import Read
from ausynth.generators.maugen.trainer import train
from ausynth.generators.maugen.wording import plain_words
from ausynth.testing import check_generator

pytest.importorskip("accelerate", reason="training needs accelerate")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maugen")
    options = TrainOptions(steps=2, batch_size=4, warmup=1, save_every=0, sample_every=0, bank=4)
    train(pipeline_of(TINY), faces_of(folder / "store"), folder / "out", options, device="cpu")
    return folder / "out"


def quick(path: Path, **options: object) -> MAUGenGenerator:
    generator = ausynth.load_generator(path, "cpu", **{"steps": 2, "block_size": 4, **options})
    assert isinstance(generator, MAUGenGenerator)
    return generator


def asked(count: int, *, seed: int = 0) -> Conditions:
    draw = np.random.default_rng(seed)
    intensity = draw.integers(0, 6, (count, 3)).astype(np.float32)
    return Conditions(intensity, np.arange(count) + 10 * seed, np.arange(count) + 100)


# --- behind the protocol --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"block_size": 1, "guidance": 1.0}])
def test_it_keeps_the_promises_of_a_generator(trained: Path, options: dict[str, object]) -> None:
    if options:  # alone or in company, on one thread a convolution's sums may be ordered differently
        generator = quick(trained, **options)
        conditions = asked(4)
        again = generator.generate(conditions)
        assert np.array_equal(again.images, generator.generate(conditions).images)
        alone = generator.generate(conditions.rows(np.array([2])))
        assert np.array_equal(alone.images[0], again.images[2])
        return
    check_generator(quick(trained))


def test_it_makes_the_same_bits_when_it_is_loaded_again(trained: Path) -> None:
    first, second = (quick(trained).generate(asked(4)) for _ in range(2))
    assert np.array_equal(first.images, second.images)
    assert first.labels.intensity.tobytes() == second.labels.intensity.tobytes()


def test_another_batch_composition_changes_no_more_than_rounding(trained: Path) -> None:
    generator = quick(trained)
    conditions = asked(4)
    together = generator.generate(conditions)
    for rows in ([2], [3, 1], [1, 2, 3]):
        part = generator.generate(conditions.rows(np.array(rows)))
        apart = np.abs(part.images.astype(int) - together.images[rows].astype(int))
        assert apart.max() <= 1
        np.testing.assert_allclose(part.labels.intensity, together.labels.intensity[rows], atol=0.02)


def test_an_identity_is_a_person_of_its_own_in_any_number() -> None:
    bank = torch.randn(5, 2, 16, generator=torch.Generator().manual_seed(0))
    people = People(bank)
    tokens = people.tokens(np.arange(1000)).flatten(1)
    assert len(torch.unique(tokens, dim=0)) == 1000
    assert torch.equal(people.tokens(np.array([7]))[0].flatten(), tokens[7])
    # Each is a mixture of three, nobody of whom counts for less than a tenth or more than eight.
    shares = torch.linalg.lstsq(bank.flatten(1).T, tokens.T).solution.T
    torch.testing.assert_close(shares.sum(1), torch.ones(1000), atol=1e-4, rtol=0)
    ranked = shares.sort(dim=1, descending=True).values
    assert ranked[:, 0].max() < 0.801
    assert ranked[:, 2].min() > 0.099
    assert ranked[:, 3:].abs().max() < 1e-3
    with pytest.raises(ConfigurationError, match="two people or more"):
        People(bank[:1])


def test_the_fingerprint_tells_weights_and_options_apart(trained: Path, tmp_path: Path) -> None:
    generator = quick(trained)
    assert quick(trained).fingerprint == generator.fingerprint
    for changed in ({"steps": 3}, {"guidance": 2.5}, {"readings": 1}, {"block_size": 8}):
        assert quick(trained, **changed).fingerprint != generator.fingerprint
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    assert quick(copy).fingerprint == generator.fingerprint
    shutil.rmtree(copy / "step-00000002" / "training")  # what only a further training needs
    assert quick(copy).fingerprint == generator.fingerprint
    weights = copy / "step-00000002" / "model" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4] ^= 1
    weights.write_bytes(data)
    assert quick(copy).fingerprint != generator.fingerprint


def test_it_says_who_trained_it_and_under_which_licence(trained: Path, tmp_path: Path) -> None:
    generator = quick(trained)
    assert generator.trained_on == ()
    assert "none" in generator.licence
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    path = copy / "step-00000002" / "training.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trained_on": ["disfa:SN001"]}))
    assert quick(copy).trained_on == ("disfa:SN001",)


def test_the_label_is_read_from_the_picture_and_not_echoed(trained: Path) -> None:
    generator = quick(trained)
    conditions = asked(4)
    made = generator.generate(conditions)
    pipeline = generator.pipeline
    out = pipeline(
        ["a", "b"], intensities=[[5, 5, 5], [0, 0, 0]], generator=[1, 2], num_inference_steps=2, output_type="np"
    )
    assert out.labels.aus == AUS
    assert not np.array_equal(out.labels.confidence, out.decoded.confidence)  # intensities may be 0 in both
    assert made.labels.confidence.min() >= 0


def test_confidence_is_the_probability_of_what_is_said() -> None:
    read = Read(torch.tensor([[0.9, 0.9, 0.2]]), torch.tensor([[3.0, 1.0, -2.0]]))
    labels = labels_of(read, AUS)
    assert labels.occurrence.tolist() == [[1, 0, 0]]
    assert labels.intensity.tolist() == [[3, 1, 0]]
    np.testing.assert_allclose(labels.confidence, [[0.9, 0.1, 0.8]], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": 0}, "steps 0"),
        ({"guidance": -1}, "guidance"),
        ({"aus": "disfa-8"}, r"label space \(1, 12, 25\)"),
        ({"wings": 2}, "no option wings"),
    ],
)
def test_wrong_options_are_refused(trained: Path, options: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        quick(trained, **options)


def test_a_missing_or_damaged_checkpoint_says_so(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "left out")
    with pytest.raises(ConfigurationError, match="holds no MAUGen checkpoint"):
        ausynth.load_generator(tmp_path)
    with pytest.raises(ConfigurationError, match="unknown generator.*folder of a checkpoint"):
        ausynth.load_generator(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match="path=FOLDER"):
        ausynth.load_generator("maugen")
    assert ausynth.load_generator("maugen", path=trained).name == "maugen"
    with pytest.raises(ConfigurationError, match="device 'tape'"):
        ausynth.load_generator(trained, "tape")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigurationError, match="no CUDA device here"):
            ausynth.load_generator(trained, "cuda")
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    weights = copy / "step-00000002" / "model" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(StoreError, match="cannot be loaded"):
        ausynth.load_generator(copy)
    weights.unlink()
    with pytest.raises(StoreError, match="cannot be loaded"):
        ausynth.load_generator(copy)
    (copy / "step-00000002" / "bank.safetensors").unlink()
    shutil.copy(trained / "step-00000002" / "model" / weights.name, weights)
    with pytest.raises(ConfigurationError, match="no bank of identities"):
        ausynth.load_generator(copy)


# --- the pipeline ---------------------------------------------------------------------------------------------------


def test_a_pipeline_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    pipeline = pipeline_of(TINY)
    pipeline.people = People(torch.randn(3, 2, 16))
    pipeline.save_pretrained(tmp_path)
    back = MAUGenPipeline.from_pretrained(tmp_path)
    back.set_progress_bar_config(disable=True)
    assert back.maugen == TINY
    assert torch.equal(back.people.bank, pipeline.people.bank)
    pictures = [
        each(
            prompt="marked lip corner puller",
            intensities={12: 3},
            identity=7,
            num_inference_steps=2,
            guidance_scale=2.0,
            generator=torch.Generator().manual_seed(3),
            output_type="np",
        )
        for each in (pipeline, back)
    ]
    assert np.abs(pictures[0].images.astype(int) - pictures[1].images).max() <= 1
    np.testing.assert_allclose(pictures[0].labels.intensity, pictures[1].labels.intensity, atol=1e-3)


def test_what_a_pipeline_takes() -> None:
    from PIL import Image

    pipeline = pipeline_of(TINY)
    made = pipeline("lips part", generator=[3, 4], num_inference_steps=1)
    assert [type(image) for image in made.images] == [Image.Image] * 2
    assert made.images[0].size == (16, 16)
    assert len(made.labels) == 2

    def paint(**changes: object) -> np.ndarray:
        options = {"intensities": {12: 3}, "generator": 1, "num_inference_steps": 1, "output_type": "np"}
        return pipeline(**options | changes).images

    plain = paint()
    assert np.array_equal(plain, paint(intensities=[0, 3, 0]))
    assert np.array_equal(plain, paint(generator=[1]))
    portrait = np.zeros((20, 20, 3), np.uint8)
    for change in ({"intensities": None}, {"prompt": "brows"}, {"identity": portrait}, {"generator": 2}):
        assert not np.array_equal(plain, paint(**change)), change
    assert np.array_equal(paint(identity=Image.fromarray(portrait)), paint(identity=portrait))
    tokens = pipeline.model.identify(torch.full((1, 3, 16, 16), -1.0))
    assert np.array_equal(paint(identity=tokens), paint(identity=np.zeros((16, 16, 3), np.uint8)))
    assert len(pipeline(["a", "b", "c"], num_inference_steps=1, output_type="np").images) == 3


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"intensities": {3: 1}}, "AU3"),
        ({"intensities": [1, 2]}, "3 columns"),
        ({"intensities": [1, 2, 6]}, "0-5"),
        ({"prompt": ["a", "b"], "generator": [1, 2, 3]}, "2 of prompt for 3"),
        ({"identity": np.zeros((16, 16))}, "shape"),
        ({"identity": 7}, "without a bank"),
        ({"mask": np.ones((16, 16))}, "inpainting"),
    ],
)
def test_what_a_pipeline_refuses(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        pipeline_of(TINY)(**wrong)


def test_an_inpainting_model_trains_and_sees_the_background(tmp_path: Path) -> None:
    from maugen_fakes import batch_of, draws_of

    from ausynth.generators.maugen.objective import Objective

    pipeline = pipeline_of(TINY.replace(inpaint=True))
    model, wired = pipeline.model, pipeline.wired()
    assert model.unet.conv_in.in_channels == 25
    mask = torch.zeros(3, 1, 16, 16)
    mask[:, :, 4:12, 4:12] = 1
    batch = batch_of(model, wired) | {"mask": mask, "keep_background": torch.tensor([True, True, False])}
    seen: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    assert torch.isfinite(Objective(model, wired)(batch, draws_of(model))["denoise"])
    shown = seen[-1]
    assert (shown[0, 12] == torch.nn.functional.max_pool2d(mask[0], 2)[0]).all()
    assert (shown[2, 12] == 1).all()  # nothing is kept: all is painted
    assert (shown[2, 13:] == 0).all()
    assert (shown[0, 13:, 2:6, 2:6] == 0).all()  # the face is not shown
    assert (shown[0, 13:, 0] != 0).any()
    frames = [np.full((16, 16, 3), value, np.uint8) for value in (0, 255)]
    options = {"mask": mask[0, 0].numpy(), "generator": [1], "num_inference_steps": 1, "output_type": "np"}
    made = [pipeline(background=frame, **options).images for frame in frames]
    assert not np.array_equal(*made)
    with pytest.raises(ConfigurationError, match=r"mask of shape \(4, 4\)"):
        pipeline(background=frames[0], **options | {"mask": np.ones((4, 4))})
    assert pipeline(generator=[1], num_inference_steps=1, output_type="np").images.shape == (1, 16, 16, 3)


# --- the whole chain ------------------------------------------------------------------------------------------------


def test_from_warmup_through_training_to_a_stream(tmp_path: Path) -> None:
    run = CliRunner().invoke
    store, out = tmp_path / "faces", tmp_path / "mini"
    warmup = ["warmup", "--cache", str(store), "--count", "24", "--real", "none", "--aus", "disfa-8"]
    made = run(app, [*warmup, "--image-size", "32", "--identities", "4", "--workers", "0"])
    assert made.exit_code == 0, made.output
    command = ["train", "maugen", "--data", str(store), "--out", str(out), "--image-size", "32", "--aus", "disfa-8"]
    command += ["--steps", "2", "--batch-size", "4", "--device", "cpu", "--without", "pooled"]
    done = run(app, command)
    assert done.exit_code == 0, done.output
    assert "24 pictures of 4 people, 8 AUs" in done.output
    assert "2 of 2 steps" in done.output
    assert (out / "samples" / "step-00000002.png").is_file()
    record = json.loads((out / "step-00000002" / "training.json").read_text())
    assert record["data"][0]["generator"] == "rendered"

    stream = ausynth.MixedStream(
        real=None,
        ratio=1,
        generator=ausynth.load_generator(out, "cpu", steps=1, block_size=4, least_confidence=0),
        batch_size=4,
        balance=None,
    )
    first, again = stream.batch(0), stream.batch(0)
    assert first["image"].shape[0] == 4
    assert torch.equal(first["image"], again["image"])
    assert first["synthetic"].all()
    assert torch.isfinite(first["intensity"]).all()
    assert stream.aus == ausynth.facs.DISFA_8

    wrong = run(app, ["train", "maugen", "--data", str(store), "--out", str(out), "--image-size", "32"])
    assert wrong.exit_code == 2
    assert "label space" in wrong.output


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    run = CliRunner().invoke
    store = str(tmp_path / "store")
    faces_of(tmp_path / "store")
    for options, says in (
        (["--preset", "huge"], "unknown preset"),
        (["--without", "wings"], "unknown part"),
        (["--preset", "sd15", "--image-size", "64"], "--base"),
        (["--base", str(tmp_path)], "--preset sd15"),
    ):
        result = run(app, ["train", "maugen", "--data", store, "--out", str(tmp_path / "out"), *options])
        assert result.exit_code == 2, result.output
        assert says in " ".join(result.output.split()), result.output
    assert plain_words(np.zeros(3, np.float32), AUS) == "neutral face"
