"""The generator `maugen`: a trained pipeline behind the generator protocol."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ausynth import facs
from ausynth.errors import ConfigurationError, StoreError, require_whole
from ausynth.generators.base import Conditions, Generated
from ausynth.generators.maugen import checkpoint
from ausynth.generators.maugen.labelling import Reader, masked, open_verifier
from ausynth.generators.maugen.pipeline import MAUGenPipeline
from ausynth.generators.maugen.shipped import FIGURES, VERIFIER
from ausynth.generators.maugen.wording import Describe, name_of, named, wording_fingerprint
from ausynth.labels import Labels
from ausynth.schedule import random_bits
from ausynth.stats import Stats

__all__ = ["MAUGenGenerator"]

_VERSION: Final = 2
"""Raised with every change that alters a bit of a picture: it is part of the fingerprint."""

_BESIDE: Final = (VERIFIER, FIGURES, "realism")
"""What lies in a checkpoint's folder and decides no picture."""


class MAUGenGenerator:
    """Paints faces with a trained MAUGen, and labels them with what it reads off the pictures.

    >>> generator = ausynth.load_generator("faces/mini")  # doctest: +SKIP
    >>> smile = np.array([[4.0 if au == 12 else 0 for au in generator.aus]])  # doctest: +SKIP

    An identity is a number, and a mixture of people of the checkpoint's bank (`People`). Pictures of a block depend on
    each other by rounding alone. Labels say what networks read in the finished pictures, and not what was asked.

    Args:
        path: of a checkpoint or training folder.
        device: "cpu", "cuda", "cuda:1", or None for CUDA where there is any.
        steps: of the solver.
        guidance: scale of classifier-free guidance; 1 is none, and twice as fast.
        labels: who reads them: "verifier", networks that come with the checkpoint and know nothing but the picture;
            "decoder", its own label decoder, on noised copies of the picture and without hearing the request; "auto"
            is the verifier where there is one.
        least_confidence: entries of less confidence are masked, as unknown; 0 masks none.
        readings: how many noised copies the decoder reads a label from.
        block_size: how many pictures are made together.
        precision: "bf16" or "no" (float32); "auto" is bf16 on CUDA.
        describe: makes a prompt of intensities where none is given; default the words that it was trained with.
        aus: the label space that is expected; None takes the checkpoint's.

    Attributes:
        trained_on: the subjects of real sets, as "set:subject", whose pictures trained it.
        licence: of its training data.
        record: what the checkpoint says of its training.
        reads_prompts: whether it knows the words of `ausynth.text`.
        describe: makes a prompt of intensities, where none is given.
        folder: of the checkpoint.
        verifier: what reads the labels, None where the decoder does.
        steps, guidance, least_confidence: as given.

    Raises:
        ConfigurationError: no checkpoint there, one of another label space or without a bank or without the verifier
            that is asked for, an option out of range.
        StoreError: a file of the checkpoint is missing or damaged.
    """

    name = "maugen"
    reads_prompts = True

    def __init__(
        self,
        path: str | Path,
        device: str | None = None,
        *,
        steps: int = 6,
        guidance: float = 1.5,
        labels: Reader = "auto",
        least_confidence: float = 0.6,
        readings: int = 2,
        block_size: int = 16,
        precision: Literal["auto", "bf16", "no"] = "auto",
        describe: Describe | None = None,
        aus: Any = None,
    ) -> None:
        for name, value in (("steps", steps), ("readings", readings), ("block_size", block_size)):
            require_whole(name, value, 1)
        if not 0 <= guidance <= 20 or precision not in ("auto", "bf16", "no"):
            raise ConfigurationError(
                f"guidance={guidance!r}, precision={precision!r}",
                expected="guidance from 0 to 20; precision 'auto', 'bf16' or 'no'",
            )
        if labels not in get_args(Reader) or not 0 <= least_confidence < 1:
            raise ConfigurationError(
                f"labels={labels!r}, least_confidence={least_confidence!r}",
                expected="labels 'auto', 'verifier' or 'decoder'; least_confidence from 0 to below 1",
            )
        self.device = str(_device(device))
        self.folder = folder = _folder(path)
        self.pipeline = _load(folder)
        config = self.pipeline.maugen
        if aus is not None and facs.label_space(aus) != config.aus:
            raise ConfigurationError(
                f"the checkpoint {folder} is of the label space {config.aus}",
                expected=f"{facs.label_space(aus)}",
                do="take another checkpoint, or leave aus out: a stream brings labels to its own label space",
            )
        self.aus, self.image_size, self.block_size = config.aus, config.image_size, block_size
        self.record = checkpoint.load_record(folder)
        self.trained_on: tuple[str, ...] = tuple(self.record.get("trained_on", ()))
        licences = sorted({str(each["licence"]) for each in self.record.get("data", ()) if each.get("licence")})
        self.licence = "painted by a network trained on: " + ("; ".join(licences) if licences else "unknown")
        self.describe = describe or named(self.record.get("wording", "plain"))
        self.reads_prompts = name_of(self.describe) == "text"
        self.verifier = open_verifier(folder, labels, config.aus, least_confidence)
        if self.verifier is not None:
            self.verifier.to(self.device)
        self.steps, self.guidance, self.least_confidence = steps, guidance, least_confidence
        self._readings, self._stats = 0 if self.verifier else readings, Stats()
        half = precision == "bf16" or (precision == "auto" and self.device.startswith("cuda"))
        self._half = half
        if config.identity and self.pipeline.people is None:
            raise ConfigurationError(
                f"the checkpoint {folder} has no bank of identities",
                expected="bank.safetensors, which training writes",
                do="use MAUGenPipeline with exemplars of your own, or train with bank above 0",
            )
        self.pipeline.to(self.device)
        self.pipeline.set_progress_bar_config(disable=True)
        read = [self._readings] if self.verifier is None else [self.verifier.fingerprint]
        options: list[Any] = [steps, float(guidance), read, float(least_confidence), block_size, half]
        options.append(wording_fingerprint(self.describe))
        self.fingerprint = _fingerprint(folder, [self.name, _VERSION, *options])

    def generate(self, conditions: Conditions) -> Generated:
        """Return (B, H, W, 3) pictures, and labels read off them.

        Raises:
            ConfigurationError: `conditions.intensity` has not one column for each of `aus`.
        """
        if conditions.intensity.shape[1] != len(self.aus):
            raise ConfigurationError(
                f"conditions.intensity has {conditions.intensity.shape[1]} columns",
                expected=f"{len(self.aus)}, one for each of {self.aus}",
                do="bring the label vectors to the generator's AUs, in its order",
            )
        if not len(conditions):
            nothing = np.empty((0, self.image_size, self.image_size, 3), np.uint8)
            return Generated(nothing, Labels.unknown(self.aus, 0))
        images, labels = [], []
        for first in range(0, len(conditions), self.block_size):
            block = conditions.rows(np.arange(first, min(first + self.block_size, len(conditions))))
            part, said = self._block(block)
            images.append(part)
            labels.append(said)
        return Generated(np.concatenate(images), Labels.concatenate(labels))

    def counts(self) -> dict[str, int]:
        """Return how many label entries were read in this process, and how many of them were masked as uncertain."""
        counts: dict[str, int] = self._stats.snapshot()["counts"]
        return counts

    def _block(self, conditions: Conditions) -> tuple[NDArray[np.uint8], Labels]:
        prompts = conditions.prompt
        if prompts is None:
            prompts = [
                self.describe(row, self.aus, int(seed))
                for row, seed in zip(conditions.intensity, conditions.noise.tolist(), strict=True)
            ]
        # Different people with one noise are different pictures, and so is the same person with another noise.
        seeds = random_bits(0, "maugen sample", conditions.identity, conditions.noise) >> np.uint64(1)
        half = torch.autocast(self.device.split(":")[0], torch.bfloat16) if self._half else contextlib.nullcontext()
        with half:
            made = self.pipeline(
                list(prompts),
                intensities=conditions.intensity,
                identity=conditions.identity if self.pipeline.maugen.identity else None,
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                generator=seeds.astype(np.int64).tolist(),
                readings=self._readings,
                output_type="np",
            )
        return made.images, self._said(made.images, made.labels)

    def _said(self, images: NDArray[np.uint8], decoded: Labels) -> Labels:
        """Return the labels that pictures carry, uncertain entries masked; `decoded` are the decoder's."""
        if self.verifier is None:
            reader, labels = "decoder", masked(decoded, self.least_confidence)
        else:
            reader, labels = "verifier", self.verifier.read(images).project(self.aus)
        unknown = int((~labels.mask).sum())
        self._stats.count([(f"{reader}: entries", labels.mask.size), (f"{reader}: masked", unknown)])
        return labels


def _device(name: str | None) -> torch.device:
    if name in (None, "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(str(name))
    except RuntimeError as error:
        raise ConfigurationError(f"device {name!r}", expected="'cpu', 'cuda', 'cuda:1' or None") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(f"device {name!r}", expected="'cpu': torch finds no CUDA device here")
    return device


def _folder(path: str | Path) -> Path:
    folder = checkpoint.newest(Path(path).expanduser())
    if folder is None:
        raise ConfigurationError(
            f"{path} holds no MAUGen checkpoint",
            expected="a folder that `ausynth train maugen --out` has filled, or one of its checkpoints",
        )
    return folder


def _load(folder: Path) -> MAUGenPipeline:
    from diffusers.utils import logging

    logging.disable_progress_bar()  # a bar that is over before it is seen, in the middle of a stream's output
    try:
        pipeline: MAUGenPipeline = MAUGenPipeline.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise StoreError(
            f"the checkpoint {folder} cannot be loaded ({type(error).__name__}: {error})",
            expected="what training wrote there",
            do="restore the folder, or take an older checkpoint",
        ) from error
    finally:
        logging.enable_progress_bar()
    pipeline.model.eval().requires_grad_(False)
    for part in (pipeline.model, pipeline.vae, pipeline.text_encoder):
        for parameter in () if part is None else part.parameters():
            # Into memory of torch's own alignment: how a file's mapping is aligned would decide how sums are
            # vectorised, and so their last bits.
            # Released weights are float16; what runs is float32, or autocast.
            parameter.data = parameter.data.to(torch.float32, copy=True)
    return pipeline


def _fingerprint(folder: Path, options: list[Any]) -> str:
    """Return a hash of all weights and configurations that decide a picture, and of the options.

    Whoever reads the labels has a fingerprint of its own, which is among the options.
    """
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for path in sorted(folder.rglob("*")):
        top = path.relative_to(folder).parts[0]
        if path.suffix in (".safetensors", ".json", ".txt") and "training" not in top and top not in _BESIDE:
            digest.update(str(path.relative_to(folder)).encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
