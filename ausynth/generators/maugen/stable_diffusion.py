"""The preset `sd15`: MAUGen on the weights of a Stable Diffusion 1.5 checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ausynth.errors import ConfigurationError
from ausynth.generators.maugen.config import MAUGenConfig
from ausynth.generators.maugen.model import MAUGenModel
from ausynth.generators.maugen.pipeline import MAUGenPipeline
from ausynth.generators.maugen.text_encoder import CLIPText
from ausynth.generators.maugen.unet import widen_input

__all__ = ["from_stable_diffusion"]

_FOLDERS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


def from_stable_diffusion(base: str | Path, config: MAUGenConfig) -> MAUGenPipeline:
    """Return a pipeline whose UNet, autoencoder, text encoder and scheduler are those of a checkpoint.

    The UNet's first convolution is widened to the channels of a mask and a masked latent, if the configuration inpaints
    and the checkpoint does not; their weights begin at 0. Sizes that the checkpoint fixes are taken from it: the
    widths, token width, latent channels, pixels to a latent pixel.

    Args:
        base: a folder in diffusers' layout: unet, vae, text_encoder, tokenizer, scheduler.
        config: such as `preset("sd15")`; its own parts begin untrained.

    Raises:
        ConfigurationError: the folder lacks a part, its model predicts something other than the noise, or transformers
            is not installed.
    """
    folder = Path(base).expanduser()
    missing = [name for name in _FOLDERS if not (folder / name).is_dir()]
    if missing:
        raise ConfigurationError(
            f"{folder} lacks {', '.join(missing)}",
            expected=f"a Stable Diffusion 1.5 checkpoint in diffusers' layout: folders {', '.join(_FOLDERS)}",
            do="give base=FOLDER; a single .safetensors file has to be converted with diffusers first",
        )
    unet, vae, text_encoder, tokenizer, scheduler = _parts(folder)
    facts = {name: value for name, value in dict(unet.config).items() if not name.startswith("_")}
    config = config.replace(
        unet=facts,
        token_width=int(unet.config.cross_attention_dim),
        latent_channels=int(vae.config.latent_channels),
        factor=2 ** (len(vae.config.block_out_channels) - 1),
        text_length=min(config.text_length, int(text_encoder.config.max_position_embeddings)),
        widths=tuple(unet.config.block_out_channels),
    )
    model = MAUGenModel(config.to_json())
    weights = unet.state_dict()
    channels = weights["conv_in.weight"].shape[1]
    if channels > config.in_channels or channels not in (config.latent_channels, 2 * config.latent_channels + 1):
        raise ConfigurationError(
            f"the UNet in {folder} has {channels} input channels",
            expected=f"{config.latent_channels}, or {config.in_channels} for inpainting",
            do="give inpaint=True for an inpainting checkpoint",
        )
    # An inpainting checkpoint has latent, mask and masked latent in this order too.
    weights["conv_in.weight"] = widen_input(weights["conv_in.weight"], config.in_channels)
    model.unet.load_state_dict(weights)
    pipeline = MAUGenPipeline(model, scheduler, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer)
    model.start_queries(CLIPText(text_encoder, tokenizer, config.text_length))
    pipeline.wired()  # refuses a scheduler of another prediction now
    return pipeline


def _parts(folder: Path) -> tuple[Any, Any, Any, Any, Any]:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    try:
        from transformers import CLIPTextModel, CLIPTokenizer
    except ImportError as error:
        raise ConfigurationError(
            "Stable Diffusion's text encoder needs the package transformers, which is not installed",
            expected="transformers 4.45 or newer",
            do="pip install transformers",
        ) from error
    options = {"local_files_only": True}
    return (
        UNet2DConditionModel.from_pretrained(folder, subfolder="unet", **options),
        AutoencoderKL.from_pretrained(folder, subfolder="vae", **options),
        CLIPTextModel.from_pretrained(folder, subfolder="text_encoder", **options),
        CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer", **options),
        # A configuration of another scheduler may say nothing of clipping, and DDIM's default is for pixels.
        DDIMScheduler.from_pretrained(folder, subfolder="scheduler", clip_sample=False, **options),
    )
