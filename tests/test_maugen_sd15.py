"""MAUGen on a Stable Diffusion 1.5 checkpoint: a tiny random one in diffusers' layout."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from maugen_fakes import AUS, write_faces

from ausynth.errors import ConfigurationError
from ausynth.generators.maugen.config import preset
from ausynth.generators.maugen.data import TrainingSet
from ausynth.generators.maugen.generator import MAUGenGenerator
from ausynth.generators.maugen.options import TrainOptions
from ausynth.generators.maugen.pipeline import MAUGenPipeline
from ausynth.generators.maugen.stable_diffusion import from_stable_diffusion
from ausynth.generators.maugen.trainer import train
from ausynth.generators.maugen.wording import plain_words
from ausynth.testing import check_generator

pytest.importorskip("transformers", reason="Stable Diffusion's text encoder needs transformers")
pytest.importorskip("accelerate", reason="training needs accelerate")

LETTERS = "abcdefghijklmnopqrstuvwxyz,:"
WORDS = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
CONFIG = preset("sd15", aus=AUS, image_size=32, factor=4, cld_heads=4, identity_width=8, tap_size=4)


def build(folder: Path, *, channels: int = 4, prediction: str = "epsilon") -> Path:
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        out_channels=4,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=16,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    )
    unet.save_pretrained(folder / "unet")
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.18215,
    )
    vae.save_pretrained(folder / "vae")
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=12,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    text.save_pretrained(folder / "text_encoder")
    made = folder / "made"
    made.mkdir()
    (made / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(WORDS)}))
    (made / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(made / "vocab.json"), str(made / "merges.txt"), model_max_length=12)
    tokenizer.save_pretrained(folder / "tokenizer")
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        prediction_type=prediction,
    )
    scheduler.save_pretrained(folder / "scheduler")
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sd15"))


def test_it_loads_trains_a_step_saves_loads_and_generates(base: Path, tmp_path: Path) -> None:
    pipeline = from_stable_diffusion(base, CONFIG)
    config = pipeline.maugen
    # What the checkpoint fixes is taken from it.
    assert (config.token_width, config.text_length, config.factor, config.latent_size) == (16, 12, 4, 8)
    assert pipeline.model.unet.conv_in.in_channels == 9
    frozen = {name: each.clone() for name, each in pipeline.text_encoder.named_parameters()}
    before = pipeline.model.unet.conv_in.weight.detach().clone()
    data = TrainingSet([write_faces(tmp_path / "store")], 32, plain_words)
    options = TrainOptions(
        steps=1, batch_size=2, warmup=0, lr=1e-3, ema_decay=0.0, save_every=0, sample_every=0, bank=4
    )
    trained = train(pipeline, data, tmp_path / "out", options, device="cpu")
    assert trained.skipped == 0
    assert np.isfinite(list(trained.losses.values())).all()
    assert not torch.equal(pipeline.model.unet.conv_in.weight, before)
    assert all(torch.equal(each, frozen[name]) for name, each in pipeline.text_encoder.named_parameters())
    assert sorted(path.name for path in trained.checkpoint.iterdir() if path.is_dir()) == [
        *("model", "scheduler", "text_encoder", "tokenizer", "training", "vae")
    ]
    back = MAUGenPipeline.from_pretrained(trained.checkpoint)
    back.set_progress_bar_config(disable=True)
    pictures = [
        each("lips", intensities={12: 3}, generator=[1, 2], num_inference_steps=2, output_type="np")
        for each in (pipeline, back)
    ]
    assert pictures[0].images.shape == (2, 32, 32, 3)
    # Not bit for bit: where weights lie in memory decides how sums are vectorised.
    assert np.abs(pictures[0].images.astype(int) - pictures[1].images).max() <= 1
    np.testing.assert_allclose(pictures[0].labels.intensity, pictures[1].labels.intensity, atol=1e-3)
    again = train(back, data, tmp_path / "out", dataclasses.replace(options, steps=2), device="cpu")
    assert again.step == 2
    check_generator(MAUGenGenerator(tmp_path / "out", "cpu", steps=2, block_size=4, describe=plain_words))


def test_a_widened_unet_begins_with_the_checkpoints_answers(base: Path) -> None:
    from diffusers import UNet2DConditionModel

    original = UNet2DConditionModel.from_pretrained(base, subfolder="unet")
    ours = from_stable_diffusion(base, CONFIG).model.unet
    latents, context = torch.randn(1, 4, 8, 8), torch.randn(1, 12, 16)
    more = torch.cat([latents, torch.ones(1, 1, 8, 8), torch.randn(1, 4, 8, 8)], 1)
    torch.testing.assert_close(ours(more, 5, context).sample, original(latents, 5, context).sample)


def test_an_inpainting_checkpoint_keeps_its_channels(tmp_path: Path) -> None:
    folder = build(tmp_path, channels=9)
    pipeline = from_stable_diffusion(folder, CONFIG)
    assert pipeline.model.unet.conv_in.weight[:, 4:].abs().sum() > 0
    with pytest.raises(ConfigurationError, match="9 input channels"):
        from_stable_diffusion(folder, CONFIG.replace(inpaint=False))


def test_queries_begin_at_clips_embeddings_of_the_descriptions(base: Path) -> None:
    pipeline = from_stable_diffusion(base, CONFIG)
    said = pipeline.model.first_c_au(pipeline.wired().text, 1)[0]
    torch.testing.assert_close(pipeline.model.cld.queries.detach(), said)


def test_what_is_no_such_checkpoint_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lacks unet, vae, text_encoder, tokenizer, scheduler"):
        from_stable_diffusion(tmp_path, CONFIG)
    other = build(tmp_path / "v", prediction="v_prediction")
    with pytest.raises(ConfigurationError, match="v_prediction"):
        from_stable_diffusion(other, CONFIG)
    with pytest.raises(ConfigurationError, match="base=FOLDER"):
        MAUGenPipeline.create(CONFIG)
