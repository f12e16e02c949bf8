"""MAUGen as a pipeline of diffusers: prompts, intensities and people in, pictures and labels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from numpy.typing import ArrayLike
from torch import Tensor

from ausynth.errors import ConfigurationError
from ausynth.generators.maugen.codec import codec_of, to_bytes, to_signed
from ausynth.generators.maugen.config import MAUGenConfig
from ausynth.generators.maugen.inputs import count_of_seeds, draw_noise, label_vectors, pictures, spread
from ausynth.generators.maugen.model import MAUGenModel
from ausynth.generators.maugen.objective import Wired
from ausynth.generators.maugen.people import People
from ausynth.generators.maugen.process import process_of
from ausynth.generators.maugen.sampling import Asked, Read, read_labels, sample
from ausynth.generators.maugen.text_encoder import CLIPText
from ausynth.labels import DEFAULT_THRESHOLD, Labels

__all__ = ["MAUGenOutput", "MAUGenPipeline", "flow_scheduler", "labels_of"]


@dataclass
class MAUGenOutput(BaseOutput):  # type: ignore[misc]
    """What the pipeline returns of B samples.

    Attributes:
        images: PIL pictures, or (B, H, W, 3) uint8.
        labels: read off the pictures, without knowing what was asked.
        decoded: what the label decoder said while it painted, knowing what was asked: it echoes the request.
    """

    images: Any
    labels: Labels
    decoded: Labels


class MAUGenPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Paints faces and labels them.

    >>> pipeline = MAUGenPipeline.from_pretrained("checkpoint")  # doctest: +SKIP
    >>> made = pipeline("a marked smile", intensities={12: 3}, identity=7)  # doctest: +SKIP
    >>> made.images[0], made.labels.intensity  # doctest: +SKIP

    Args:
        model: the network.
        scheduler: a solver of diffusers that fits its prediction: FlowMatchEulerDiscreteScheduler for x0, any DDPM-like
            one for epsilon.
        vae, text_encoder, tokenizer: of Stable Diffusion, where the model's configuration asks for them.

    Attributes:
        people: whom an identity's number is; None where the checkpoint has no bank.
    """

    _optional_components = ["vae", "text_encoder", "tokenizer"]  # noqa: RUF012 (the library's convention)
    model_cpu_offload_seq = "text_encoder->model->vae"

    def __init__(
        self, model: MAUGenModel, scheduler: Any, vae: Any = None, text_encoder: Any = None, tokenizer: Any = None
    ) -> None:
        super().__init__()
        self.register_modules(model=model, scheduler=scheduler, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer)
        self.people: People | None = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **options: Any) -> MAUGenPipeline:
        """Return the pipeline that `save_pretrained` wrote, with its people; see `DiffusionPipeline`."""
        pipeline: MAUGenPipeline = super().from_pretrained(pretrained_model_name_or_path, **options)
        if Path(pretrained_model_name_or_path).is_dir():
            pipeline.people = People.load(Path(pretrained_model_name_or_path))
        return pipeline

    def save_pretrained(self, save_directory: Any, **options: Any) -> None:
        """Write the pipeline with its people into a folder, weights as safetensors; see `DiffusionPipeline`."""
        super().save_pretrained(save_directory, **options)
        if self.people is not None:
            self.people.save(Path(save_directory))

    @property
    def maugen(self) -> MAUGenConfig:
        """Return the model's configuration."""
        config: MAUGenConfig = self.model.maugen
        return config

    def wired(self) -> Wired:
        """Return what the model runs with."""
        config = self.maugen
        text = self.model.text_encoder
        if text is None:
            text = CLIPText(self.text_encoder, self.tokenizer, config.text_length)
        return Wired(codec_of(config, self.vae), text, process_of(config, self.scheduler))

    @classmethod
    def create(cls, config: MAUGenConfig) -> MAUGenPipeline:
        """Return a pipeline with fresh weights, for a configuration that needs no pretrained parts.

        Raises:
            ConfigurationError: it needs some.
        """
        if config.codec == "autoencoder" or config.text == "clip":
            raise ConfigurationError(
                "a configuration with Stable Diffusion's autoencoder or text encoder, and no checkpoint of it",
                expected="a folder in diffusers' layout",
                do="give base=FOLDER (--base), a Stable Diffusion 1.5 checkpoint",
            )
        model = MAUGenModel(config.to_json())
        model.start_queries(model.text_encoder)
        return cls(model, flow_scheduler())

    @torch.no_grad()
    def __call__(  # noqa: PLR0917 (the order that users of diffusers know)
        self,
        prompt: str | Sequence[str] | None = None,
        intensities: ArrayLike | dict[int, float] | None = None,
        identity: Any = None,
        num_inference_steps: int = 6,
        guidance_scale: float = 1.5,
        generator: torch.Generator | Sequence[torch.Generator] | Sequence[int] | int | None = None,
        *,
        mask: ArrayLike | None = None,
        background: Any = None,
        readings: int = 2,
        output_type: str = "pil",
    ) -> MAUGenOutput:
        """Paint B faces and read their labels.

        Args:
            prompt: one text or B texts; None says nothing.
            intensities: (A,) or (B, A), 0-5, NaN for what is left open, or {AU: intensity} with 0 for the others; None
                leaves all open.
            identity: a person's number or B of them, int64 (see `people`), or exemplars: a PIL picture, (H, W, 3) or
                (B, H, W, 3) uint8, or tokens (B, T, D) that `model.identify` gave; None for nobody in particular.
            num_inference_steps: of the solver.
            guidance_scale: how much the expression is exaggerated; 1 costs half.
            generator: a torch generator, one for each sample, or seeds; None draws anew.
            mask: (H, W) or (B, H, W), 1 where to paint: for models that inpaint.
            background: pictures like `identity` of what is kept outside the mask.
            readings: how many noised copies the labels are read from; 0 reads none, and knows nothing.
            output_type: "pil" or "np".

        Raises:
            ConfigurationError: conditions of different lengths or shapes, an unknown AU, a mask for a model without.
        """
        config, device = self.maugen, self.model.device
        wired = self.wired()
        prompts = [prompt or ""] if prompt is None or isinstance(prompt, str) else list(prompt)
        asked_NA = label_vectors(intensities, config.aus)
        exemplars = None if identity is None else self._identify(identity)
        count = max(len(prompts), len(asked_NA), 0 if exemplars is None else len(exemplars), count_of_seeds(generator))
        tokens = wired.text.tokenize(spread(prompts, count, "prompt"))
        asked = Asked(
            tokens.to(device),
            torch.from_numpy(np.stack(spread(list(asked_NA), count, "intensities"))).to(device),
            None if exemplars is None else torch.stack(spread(list(exemplars), count, "identity")),
            background=self._background(wired, mask, background, count),
        )
        shape = (config.latent_channels, config.latent_size, config.latent_size)
        first, *more = (draw_noise(generator, count, shape, draw) for draw in range(1 + readings))
        with self.progress_bar(total=num_inference_steps) as bar:
            sampled = sample(
                self.model,
                wired,
                self.scheduler,
                first.to(device),
                asked,
                steps=num_inference_steps,
                guidance=guidance_scale,
                show=lambda *_: bar.update(),
            )
        images = to_bytes(wired.codec.decode(sampled.latents))
        labels = Labels.unknown(config.aus, count)
        if readings:
            # Labels are of the picture that is handed out: clipped to its range and rounded to 8 bits.
            seen = wired.codec.encode(to_signed(images)) if config.codec == "space-to-depth" else sampled.latents
            noises = [noise.to(device) for noise in more]
            labels = labels_of(read_labels(self.model, wired, seen, noises, asked), config.aus)
        pixels = images.cpu().numpy()
        self.maybe_free_model_hooks()
        return MAUGenOutput(
            images=self.numpy_to_pil(pixels / np.float32(255)) if output_type == "pil" else pixels,
            labels=labels,
            decoded=labels_of(sampled.decoded, config.aus),
        )

    def _identify(self, identity: Any) -> Tensor:
        config, device = self.maugen, self.model.device
        if not config.identity:
            raise ConfigurationError("an identity for a model that knows none", expected="identity=None")
        if isinstance(identity, Tensor) and identity.shape[1:] == (config.identity_tokens, config.token_width):
            given: Tensor = identity.to(device, torch.float32)
            return given
        if isinstance(identity, int) or (isinstance(identity, np.ndarray) and identity.dtype == np.int64):
            numbers = np.atleast_1d(np.asarray(identity, np.int64))
            if self.people is None or numbers.ndim != 1 or (numbers < 0).any():
                raise ConfigurationError(
                    f"identity {identity!r}"
                    + (" for a pipeline without a bank of people" if self.people is None else ""),
                    expected="a number, 0 or more, for a checkpoint with a bank; or a picture of the person",
                )
            return self.people.tokens(numbers).to(device)
        tokens: Tensor = self.model.identify(to_signed(pictures(identity, config.image_size)).to(device))
        return tokens

    def _background(self, wired: Wired, mask: Any, background: Any, count: int) -> tuple[Tensor, Tensor] | None:
        if mask is None and background is None:
            return None
        config, device = self.maugen, self.model.device
        if not config.inpaint or mask is None or background is None:
            raise ConfigurationError(
                f"mask {'given' if mask is not None else 'missing'}, background "
                f"{'given' if background is not None else 'missing'}, model {'with' if config.inpaint else 'without'} "
                "inpainting channels",
                expected="a mask and a background, for a model with inpainting channels",
            )
        mask_BHW = torch.as_tensor(np.asarray(mask, np.float32), device=device)
        if mask_BHW.shape[-2:] != (config.image_size, config.image_size) or mask_BHW.ndim > 3:
            raise ConfigurationError(
                f"a mask of shape {tuple(mask_BHW.shape)}",
                expected=f"({config.image_size}, {config.image_size}) pixels",
            )
        mask_BHW = mask_BHW.expand(count, *mask_BHW.shape[-2:])
        shown = to_signed(pictures(background, config.image_size)).to(device)
        latent = wired.codec.encode(shown * (mask_BHW[:, None] < 0.5))
        return torch.nn.functional.adaptive_max_pool2d(mask_BHW[:, None], config.latent_size), latent.expand(
            count, -1, -1, -1
        )


def flow_scheduler() -> Any:
    """Return the solver of models that predict x0: Euler steps along the velocity."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0)


def labels_of(read: Read, aus: tuple[int, ...], threshold: float = DEFAULT_THRESHOLD) -> Labels:
    """Return readings as labels: [C] present from intensity 2 on, confident by the probability of what is said."""
    intensity_BA = read.intensity.float().clamp(0, 5).cpu().numpy()
    probability_BA = read.probability.float().clamp(0, 1).cpu().numpy()
    confidence_BA = np.where(intensity_BA >= threshold, probability_BA, 1 - probability_BA)
    return Labels.from_intensity(aus, intensity_BA, threshold=threshold, confidence=confidence_BA)
