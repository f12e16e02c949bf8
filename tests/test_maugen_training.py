"""Training MAUGen: the data, steps that go on bit for bit, and what happens when something goes wrong."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maugen_fakes import AUS, TINY, faces_of, pipeline_of, write_faces

from ausynth.errors import AusynthError, ConfigurationError, GenerationError, StoreError
from ausynth.generators import Conditions
from ausynth.generators.maugen import checkpoint
from ausynth.generators.maugen.data import TrainingSet
from ausynth.generators.maugen.generator import MAUGenGenerator
from ausynth.generators.maugen.objective import Objective
from ausynth.generators.maugen.options import TrainOptions
from ausynth.generators.maugen.pipeline import MAUGenPipeline
from ausynth.generators.maugen.release import release
from ausynth.generators.maugen.trainer import Standing, Trained, train
from ausynth.generators.maugen.wording import plain_words
from ausynth.store import Recipe

pytest.importorskip("accelerate", reason="training needs accelerate")

OPTIONS = TrainOptions(steps=4, batch_size=4, warmup=2, save_every=0, sample_every=0, log_every=1, bank=3)


def options(**changes: Any) -> TrainOptions:
    return dataclasses.replace(OPTIONS, **changes)


def run(data: TrainingSet, out: Path, opts: TrainOptions, **more: Any) -> tuple[Trained, MAUGenPipeline]:
    pipeline = pipeline_of(TINY)
    return train(pipeline, data, out, opts, device="cpu", **more), pipeline


@pytest.fixture
def data(tmp_path: Path) -> TrainingSet:
    return faces_of(tmp_path / "store")


def weights_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


# --- data -----------------------------------------------------------------------------------------------------------


def test_an_exemplar_is_another_more_neutral_picture_of_the_same_person(data: TrainingSet) -> None:
    assert len(data) == 16
    assert data.people.shape == (2, 4)
    plain = data.faces(np.arange(16), flip=np.zeros(16, bool))
    assert plain.has_exemplar.all()
    total = plain.labels.intensity.sum(1)
    for row in range(16):
        shown = plain.exemplars[row]
        assert not np.array_equal(shown, plain.images[row])
        # A person is a colour, seen in a corner that no AU touches.
        assert (shown[0, 0] == plain.images[row][0, 0]).all()
        if total[row]:
            assert (shown[:, :8] == shown[0, 0]).all()  # the neutral one


def test_a_step_is_a_function_of_its_number_and_processes_share_it(data: TrainingSet) -> None:
    whole = data.batch(3, 8)
    again = data.batch(3, 8)
    assert np.array_equal(whole.images, again.images)
    assert whole.prompts == again.prompts
    halves = [data.batch(3, 4, part=part, parts=2) for part in range(2)]
    assert np.array_equal(np.concatenate([half.images for half in halves]), whole.images)
    assert not np.array_equal(data.batch(4, 8).images, whole.images)


def test_a_mirrored_picture_has_a_mirrored_exemplar(data: TrainingSet) -> None:
    rows = np.arange(6)
    straight, mirrored = (data.faces(rows, flip=np.full(6, flip)) for flip in (False, True))
    assert np.array_equal(mirrored.images, straight.images[:, :, ::-1])
    assert np.array_equal(mirrored.exemplars, straight.exemplars[:, :, ::-1])


def test_every_picture_once_an_epoch_or_rare_aus_more_often(tmp_path: Path) -> None:
    folder = write_faces(tmp_path / "store", people=8, each=8)
    even = TrainingSet([folder], 16, plain_words, oversample=0)
    seen = [even.batch(step, 16).labels.intensity for step in range(4)]
    assert sorted(map(tuple, np.concatenate(seen).tolist())) == sorted(map(tuple, even.labels.intensity.tolist()))
    rates = even.labels.rates()
    rare = int(np.argmin(rates))
    often = TrainingSet([folder], 16, plain_words, oversample=1)
    drawn = np.concatenate([often.batch(step, 64).labels.occurrence for step in range(10)])
    assert drawn[:, rare].mean() > rates[rare] * 1.1


def test_prompts_say_the_labels(data: TrainingSet) -> None:
    faces = data.faces(np.arange(16))
    for row, prompt in enumerate(faces.prompts):
        assert prompt == plain_words(faces.labels.intensity[row], AUS)


def test_nobody_with_two_pictures_is_refused(tmp_path: Path) -> None:
    folder = write_faces(tmp_path / "store", people=8, each=1)
    with pytest.raises(ConfigurationError, match="one picture only.*--identities"):
        TrainingSet([folder], 16, plain_words)


def test_pictures_of_another_size_are_brought_to_the_models(tmp_path: Path) -> None:
    folder = write_faces(tmp_path / "store")
    assert TrainingSet([folder], 32, plain_words).batch(0, 2).images.shape == (2, 32, 32, 3)


def real_store(folder: Path) -> Path:
    about = {"name": "disfa", "dataset": "disfa", "subjects": ["SN001", "SN003", "SN006", "SN009"]}
    return write_faces(folder, recipe=Recipe("real", AUS, 16, fingerprint="frames", about=about))


def test_held_out_people_are_not_learned_from_and_those_learned_from_are_recorded(tmp_path: Path) -> None:
    folder = real_store(tmp_path / "frames")
    everyone = TrainingSet([folder], 16, plain_words)
    assert everyone.trained_on == ("disfa:SN001", "disfa:SN003", "disfa:SN006", "disfa:SN009")
    some = TrainingSet([folder], 16, plain_words, hold_out=["P1"])
    assert some.trained_on == ("disfa:SN003", "disfa:SN006")  # the other two are of part P1
    assert len(some) == 8
    with pytest.raises(ConfigurationError, match="SN999"):
        TrainingSet([folder], 16, plain_words, hold_out=["SN999"])
    with pytest.raises(ConfigurationError, match="no store of real frames"):
        TrainingSet([write_faces(tmp_path / "made")], 16, plain_words, hold_out=["P1"])


# --- steps ----------------------------------------------------------------------------------------------------------


def test_training_makes_the_losses_fall(data: TrainingSet, tmp_path: Path) -> None:
    trained, _ = run(data, tmp_path / "out", options(steps=80, batch_size=8, lr=4e-3, warmup=5))
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert len(lines) == trained.step == 80
    for name, most in (("denoise", 0.6), ("intensity", 0.85), ("occurrence", 0.97)):
        first, last = ([line[name] for line in part] for part in (lines[:20], lines[-20:]))
        assert np.mean(last) < most * np.mean(first), name
    assert trained.skipped == 0


class StoppedError(Exception):
    pass


def stop_after(step: int) -> Callable[[Standing], None]:
    def show(standing: Standing) -> None:
        if standing.step > step:
            raise StoppedError

    return show


@pytest.mark.parametrize("adaptive", ["none", "paper"])
def test_what_was_interrupted_goes_on_bit_for_bit(data: TrainingSet, tmp_path: Path, adaptive: str) -> None:
    opts = options(steps=6, adaptive=adaptive, adaptive_every=4)
    whole, one = run(data, tmp_path / "whole", opts)
    halved = dataclasses.replace(opts, save_every=3)
    with pytest.raises(StoppedError):
        run(data, tmp_path / "parts", halved, show=stop_after(3))
    assert checkpoint.newest(tmp_path / "parts").name == "step-00000003"
    rest, other = run(data, tmp_path / "parts", halved)
    assert weights_of(whole.checkpoint) == weights_of(rest.checkpoint)
    for (name, ours), (_, theirs) in zip(one.model.named_parameters(), other.model.named_parameters()):
        assert torch.equal(ours, theirs), name
    done, _ = run(data, tmp_path / "parts", halved)  # nothing is left to do
    assert (done.step, done.checkpoint) == (6, rest.checkpoint)


def test_time_that_is_up_ends_the_training_saved(data: TrainingSet, tmp_path: Path) -> None:
    trained, _ = run(data, tmp_path / "out", options(steps=100, minutes=0))
    assert (trained.step, trained.checkpoint.name) == (1, "step-00000001")
    further, _ = run(data, tmp_path / "out", options(steps=100, minutes=0))
    assert further.step == 2


def test_a_checkpoint_holds_averaged_weights_a_bank_and_what_it_was_trained_on(tmp_path: Path) -> None:
    data = TrainingSet([real_store(tmp_path / "frames")], 16, plain_words, hold_out=["SN009"])
    trained, pipeline = run(data, tmp_path / "out", options(ema_decay=0.5))
    record = checkpoint.load_record(trained.checkpoint)
    assert record["trained_on"] == ["disfa:SN001", "disfa:SN003", "disfa:SN006"]
    assert record["held_out"] == ["SN009"]
    assert record["data"][0]["pictures"] == 12
    assert record["wording"] == "plain"
    loaded = MAUGenPipeline.from_pretrained(trained.checkpoint)
    assert loaded.people.bank.shape == (3, 2, 16)
    state = checkpoint.load(tmp_path / "out", TINY)
    for name, value in loaded.model.named_parameters():
        assert torch.equal(value, dict(pipeline.model.named_parameters())[name])
    assert any(not torch.equal(state.weights[name], state.averaged[name]) for name in state.weights)


def test_the_average_is_that_of_the_formula(data: TrainingSet, tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []
    pipeline = pipeline_of(TINY)
    weight = pipeline.model.cld.queries

    def show(_: Standing) -> None:
        seen.append(weight.detach().clone())

    train(pipeline, data, tmp_path / "out", options(steps=4, ema_decay=0.25), device="cpu", show=show)
    average = pipeline_of(TINY).model.cld.queries.detach()
    for n, each in enumerate(seen):
        decay = min(0.25, (1 + n) / (10 + n)) if n else 0.0  # the first step begins it
        average = decay * average + (1 - decay) * each
    torch.testing.assert_close(pipeline.model.cld.queries.detach(), average, atol=1e-6, rtol=1e-5)


def test_samples_are_drawn_and_old_checkpoints_go(data: TrainingSet, tmp_path: Path) -> None:
    from PIL import Image

    run(data, tmp_path / "out", options(save_every=1, sample_every=2, keep=2))
    assert sorted(path.name for path in (tmp_path / "out").glob("step-*")) == ["step-00000003", "step-00000004"]
    grids = sorted((tmp_path / "out" / "samples").iterdir())
    assert [path.name for path in grids] == ["step-00000002.png", "step-00000004.png"]
    with Image.open(grids[0]) as picture:
        assert picture.size == (8 * 16, 2 * 16)


# --- what goes wrong ------------------------------------------------------------------------------------------------


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[int, dict[str, Any]], dict[str, Any]]) -> None:
    """Have the n-th call of the objective answer what `change` makes of its losses."""
    calls = iter(range(10_000))
    honest = Objective.forward

    def forward(self: Objective, batch: dict[str, Any], draws: Any) -> dict[str, Any]:
        return change(next(calls), honest(self, batch, draws))

    monkeypatch.setattr(Objective, "forward", forward)


def test_a_step_without_a_number_is_skipped_and_counted(
    data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    pipeline = pipeline_of(TINY)
    weight = pipeline.model.cld.queries

    def change(call: int, found: dict[str, Any]) -> dict[str, Any]:
        if call == 1:
            return found | {"intensity": found["intensity"] * float("nan")}
        if call == 2:  # finite, with a gradient that is not: |0|^.5 at 0
            zero = (found["intensity"] - found["intensity"].detach()).abs()
            return found | {"intensity": zero.sqrt()}
        return found

    spoil(monkeypatch, change)
    trained = train(
        pipeline,
        data,
        tmp_path / "out",
        options(),
        device="cpu",
        show=lambda _: seen.append(weight.detach().clone()),
    )
    assert trained.skipped == 2
    assert torch.equal(seen[1], seen[0])
    assert torch.equal(seen[2], seen[0])
    assert not torch.equal(seen[3], seen[0])
    assert all(torch.isfinite(p).all() for p in pipeline.model.parameters())
    assert all(map(np.isfinite, trained.losses.values()))


def test_too_many_steps_without_a_number_end_the_training(
    data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, lambda call, found: {name: loss * float("nan") for name, loss in found.items()})
    with pytest.raises(GenerationError, match="4 of the last 4 steps.*3 at most.*lower learning rate"):
        run(data, tmp_path / "out", options(steps=50, nan_budget=3))


def test_out_of_memory_says_what_fits(data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Objective.forward

    def forward(self: Objective, batch: dict[str, Any], draws: Any) -> dict[str, Any]:
        if len(batch["images"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return honest(self, batch, draws)

    monkeypatch.setattr(Objective, "forward", forward)
    with pytest.raises(GenerationError, match=r"batch of 8 does not fit.*batch of 2, which does.*--batch-size 2"):
        run(data, tmp_path / "out", options(batch_size=8))

    def never(self: Objective, batch: dict[str, Any], draws: Any) -> dict[str, Any]:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")

    monkeypatch.setattr(Objective, "forward", never)
    with pytest.raises(GenerationError, match="not even one sample fits"):
        run(data, tmp_path / "out", options())


def test_other_errors_come_out_as_they_are(data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: Objective, batch: dict[str, Any], draws: Any) -> dict[str, Any]:
        raise RuntimeError("shapes")

    monkeypatch.setattr(Objective, "forward", forward)
    with pytest.raises(RuntimeError, match="shapes"):
        run(data, tmp_path / "out", options())


def test_a_checkpoint_of_another_label_space_or_architecture_is_refused(data: TrainingSet, tmp_path: Path) -> None:
    run(data, tmp_path / "out", options(steps=1))
    other = TrainingSet([tmp_path / "store"], 16, plain_words, aus=(1, 12))
    with pytest.raises(ConfigurationError, match=r"label space \(1, 12, 25\).*\(1, 12\)"):
        train(pipeline_of(TINY.replace(aus=(1, 12))), other, tmp_path / "out", options(), device="cpu")
    with pytest.raises(ConfigurationError, match="lgfe is True, not False"):
        train(pipeline_of(TINY.without("lgfe")), data, tmp_path / "out", options(), device="cpu")
    with pytest.raises(ConfigurationError, match="batch_size=4"):
        run(data, tmp_path / "out", options(batch_size=8))
    with pytest.raises(ConfigurationError, match="the same label space"):
        train(pipeline_of(TINY), other, tmp_path / "new", options(), device="cpu")


def test_a_damaged_checkpoint_says_so(data: TrainingSet, tmp_path: Path) -> None:
    trained, _ = run(data, tmp_path / "out", options(steps=1))
    for file in ("training/optimizer.safetensors", "training/state.json", "model/config.json"):
        path = trained.checkpoint / file
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(StoreError, match=f"{path.name} is missing"):
            run(data, tmp_path / "out", options(steps=2))
        path.write_bytes(whole[:20])
        with pytest.raises(StoreError, match="cannot be read"):
            run(data, tmp_path / "out", options(steps=2))
        path.write_bytes(whole)


def test_a_checkpoint_is_whole_or_not_there(data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    first, _ = run(data, out, options(steps=1))
    before = weights_of(first.checkpoint)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(OSError, match="No space"):
            run(data, out, options(steps=2))
    assert checkpoint.newest(out) == first.checkpoint
    assert weights_of(first.checkpoint) == before
    assert [path.name for path in out.glob(".step-*")] == []
    (out / ".step-00000002.1.tmp").mkdir()  # what a killed process left
    second, _ = run(data, out, options(steps=2))
    assert second.checkpoint.name == "step-00000002"
    assert [path.name for path in out.glob(".step-*")] == []


def test_an_older_checkpoint_serves_when_the_newest_is_deleted(data: TrainingSet, tmp_path: Path) -> None:
    trained, _ = run(data, tmp_path / "out", options(steps=2, save_every=1))
    shutil.rmtree(trained.checkpoint)
    again, _ = run(data, tmp_path / "out", options(steps=2, save_every=1))
    assert again.step == 2


def test_a_package_that_is_missing_is_named(data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch.utils.tensorboard", None)
        with pytest.raises(ConfigurationError, match="pip install tensorboard"):
            run(data, tmp_path / "out", options(), tensorboard=True)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "accelerate", None)
        with pytest.raises(ConfigurationError, match="pip install accelerate"):
            run(data, tmp_path / "out", options())


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"lr": 0}, {"ema_decay": 1.0}, {"adaptive": "both"}, {"precision": "fp16"}]
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AusynthError):
        options(**wrong)


def test_the_learning_rate_rises_and_falls() -> None:
    opts = options(steps=100, warmup=10, lr=1.0)
    rates = [opts.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert rates[10] == pytest.approx(1)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_mixed_precision_trains(data: TrainingSet, tmp_path: Path) -> None:
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)  # a process has one precision, and other tests another
    try:
        trained, pipeline = run(data, tmp_path / "out", options(precision="bf16"))
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    assert (trained.step, trained.skipped) == (4, 0)
    assert np.isfinite(trained.losses["denoise"])
    assert {parameter.dtype for parameter in pipeline.model.parameters()} == {torch.float32}


def test_training_stops_where_it_is_told_and_goes_on_to_the_same_weights(data: TrainingSet, tmp_path: Path) -> None:
    whole, _ = run(data, tmp_path / "whole", options(steps=4))
    first, _ = run(data, tmp_path / "parts", options(steps=4, stop=2))
    assert first.step == 2
    again, _ = run(data, tmp_path / "parts", options(steps=4, stop=2))  # nothing is left to do
    assert again.step == 2
    rest, _ = run(data, tmp_path / "parts", options(steps=4))
    assert (whole.step, rest.step) == (4, 4)
    assert weights_of(whole.checkpoint) == weights_of(rest.checkpoint)


def test_a_crop_keeps_the_middle(tmp_path: Path) -> None:
    folder = write_faces(tmp_path / "store")
    all_of_it, middle = (TrainingSet([folder], size, plain_words, crop=crop) for size, crop in ((16, 1.0), (8, 0.5)))
    rows = np.arange(4)
    np.testing.assert_array_equal(middle.faces(rows).images, all_of_it.faces(rows).images[:, 4:12, 4:12])
    with pytest.raises(ConfigurationError, match="crop"):
        TrainingSet([folder], 8, plain_words, crop=0)


def test_a_release_is_half_as_large_and_paints_the_same(data: TrainingSet, tmp_path: Path) -> None:
    trained, _ = run(data, tmp_path / "out", options(steps=2, bank=2))
    out = release(tmp_path / "out", tmp_path / "released", figures={"judge_f1_request": 0.5})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "released", "store"]
    assert json.loads((out / "figures.json").read_text()) == {"judge_f1_request": 0.5}
    weights = "model/diffusion_pytorch_model.safetensors"
    assert (out / weights).stat().st_size < 0.6 * (trained.checkpoint / weights).stat().st_size
    whole, half = (MAUGenGenerator(folder, device="cpu", steps=2) for folder in (trained.checkpoint, out))
    asked = Conditions(np.full((2, len(AUS)), 3, np.float32), np.arange(2), np.arange(2))
    difference = np.abs(whole.generate(asked).images.astype(int) - half.generate(asked).images)
    assert difference.mean() < 1
    assert half.record["step"] == 2
    with pytest.raises(ConfigurationError, match="not empty"):
        release(tmp_path / "out", out)
    with pytest.raises(ConfigurationError, match="no MAUGen checkpoint"):
        release(tmp_path / "store", tmp_path / "another")
