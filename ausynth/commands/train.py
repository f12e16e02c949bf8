"""`ausynth train`: trains a generator on stored faces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ausynth.commands.common import label_space, split_names
from ausynth.commands.train_networks import Crop, detector, identity, realism, share_of
from ausynth.commands.train_verifier import verifier
from ausynth.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from ausynth.generators.maugen.config import MAUGenConfig
    from ausynth.generators.maugen.objective import Auxiliaries
    from ausynth.generators.maugen.pipeline import MAUGenPipeline
    from ausynth.generators.maugen.trainer import Standing, Trained

__all__ = ["train"]

_LINE_EVERY = 30.0
_STEPS, _GUIDANCE, _READINGS = 6, 1.5, 2  # the generator's defaults

train = typer.Typer(
    help="Train a generator on stored faces, or the small networks that look at its pictures.", no_args_is_help=True
)
train.command()(detector)
train.command()(verifier)
train.command()(identity)
train.command()(realism)


@train.command()
def maugen(
    *,
    data: Annotated[
        list[Path],
        typer.Option(metavar="STORE", help="Store of faces that warmup or prepare has filled; may be repeated."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of checkpoints; one that has some is gone on with.")],
    preset: Annotated[str, typer.Option(help="mini, mini-112 or sd15.")] = "mini",
    base: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Stable Diffusion 1.5 in diffusers' layout, for sd15.")
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Height and width in pixels [default: the preset's]")] = None,
    aus: Annotated[
        str | None, typer.Option(help="Label space: disfa-12, bp4d-12, or 1,2,4 [default: all of the stores' AUs]")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="PART", help="Switch a part off (for ablations); may be repeated.")
    ] = None,
    mask: Annotated[
        Literal["logit", "weight"] | None, typer.Option(help="How the identity mask is applied [default: logit]")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="In all, those of an interrupted run included.")] = 20_000,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so long, saved.")] = None,
    stop: Annotated[
        int | None, typer.Option(min=1, help="Stop after this step, saved; the learning rate is on its way to --steps.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Of each process.")] = 32,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate [default: 8e-4; 1e-5 for sd15]")] = None,
    adaptive: Annotated[
        Literal["paper", "inverse", "none"], typer.Option(help="How losses are weighed by their gradients.")
    ] = "none",
    precision: Annotated[Literal["auto", "bf16", "no"], typer.Option(help="auto: bf16 on CUDA.")] = "auto",
    device: Annotated[Literal["auto", "cpu"], typer.Option(help="auto: what accelerate finds.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    save_every: Annotated[int, typer.Option(min=0, help="Steps between checkpoints; 0: the end only.")] = 500,
    sample_every: Annotated[int, typer.Option(min=0, help="Steps between grids of samples; 0: the end only.")] = 1000,
    oversample: Annotated[float, typer.Option(min=0, max=1, help="How much more often rare AUs are shown.")] = 0.5,
    hold_out: Annotated[
        list[str] | None, typer.Option(metavar="P1|SN001|...", help="Parts or subjects of real sets not to learn from.")
    ] = None,
    crop: Crop = "1",
    critic: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="AU detector (`ausynth train detector`) that what is painted must convince; repeatable.",
        ),
    ] = None,
    weight: Annotated[
        list[str] | None, typer.Option(metavar="LOSS=VALUE", help="What a loss is multiplied by; may be repeated.")
    ] = None,
    drop_expression: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of samples at low noise that are not told their label.")
    ] = None,
    first_passes: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the steps whose queries come from a first pass.")
    ] = 0.5,
    ema: Annotated[float, typer.Option(min=0, max=0.99999, help="Decay of the averaged weights.")] = 0.9995,
    bank: Annotated[int, typer.Option(min=0, help="People whose identity tokens the checkpoint carries.")] = 256,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files to DIR/tensorboard.")] = False,
) -> None:
    """Train MAUGen, which paints faces with action units and reads them, on stored faces.

    The checkpoint is a generator: `generator=DIR`. Stop it at any time: the same command goes on from the last
    checkpoint. `accelerate launch -m ausynth train maugen ...` trains on several GPUs. A person should have several
    pictures: fill the store with `ausynth warmup --identities N`, N far below the number of samples.
    """
    import torch
    from rich.console import Console

    from ausynth.generators.maugen import config as configs
    from ausynth.generators.maugen.cost import flops_of_pass, passes_of_picture
    from ausynth.generators.maugen.data import TrainingSet
    from ausynth.generators.maugen.dropping import Dropping
    from ausynth.generators.maugen.options import TrainOptions
    from ausynth.generators.maugen.trainer import train as run
    from ausynth.generators.maugen.wording import default_describe
    from ausynth.ranks import place_among_ranks

    changes: dict[str, Any] = {"image_size": image_size, "mask": mask}
    config = configs.preset(preset, **{name: value for name, value in changes.items() if value is not None})
    for part in split_names(without):
        config = config.without(part)
    space = None if aus is None else label_space(aus)
    faces = TrainingSet(
        data,
        config.image_size,
        default_describe(),
        aus=_space(space),
        seed=seed,
        oversample=oversample,
        hold_out=split_names(hold_out),
        crop=share_of(crop),
    )
    options = TrainOptions(
        steps=steps,
        batch_size=batch_size,
        lr=lr if lr is not None else 1e-5 if preset == "sd15" else 8e-4,
        adaptive=adaptive,
        precision=precision,
        seed=seed,
        save_every=save_every,
        sample_every=sample_every,
        minutes=minutes,
        stop=stop,
        weights=_weights(weight),
        first_passes=first_passes,
        ema_decay=ema,
        bank=bank,
    )
    torch.manual_seed(seed)  # the fresh weights
    pipeline = _pipeline(config.replace(aus=faces.aus), preset, base)
    is_first = place_among_ranks(None, None)[0] == 0
    console = Console(soft_wrap=True, highlight=False, quiet=not is_first)
    parts = ", ".join(f"{name} {count / 1e6:.1f}M" for name, count in pipeline.model.describe_parts())
    console.print(f"{len(faces):,} pictures of {faces.people.shape[1]:,} people, {len(faces.aus)} AUs; {parts}.")
    # Weights, gradients, Adam's two moments and the average, in float32.
    console.print(
        f"Training holds {20 * pipeline.model.num_parameters() / 1e9:,.1f} GB of weights and their state, "
        "beside a batch's activations."
    )
    passes = passes_of_picture(_STEPS, _GUIDANCE, _READINGS)
    console.print(
        f"A pass costs {flops_of_pass(pipeline.maugen) / 1e9:,.1f} GFLOP a picture; a picture and its label take "
        f"{passes} passes ({_STEPS} steps with guidance, {_READINGS} readings)."
    )
    with _shown(steps, quiet=not is_first) as show:
        trained = run(
            pipeline,
            faces,
            out,
            options,
            dropping=Dropping() if drop_expression is None else Dropping(expression=drop_expression),
            auxiliaries=_critics(critic, faces.aus),
            device=None if device == "auto" else device,
            tensorboard=tensorboard,
            show=show,
        )
    _print_summary(console, trained, steps)


@train.command()
def release(
    *,
    checkpoint: Annotated[Path, typer.Argument(metavar="DIR", help="A training folder, or one of its checkpoints.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The new folder.")],
    verifier: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Networks that read labels off its pictures (`train verifier`).")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="JSON", help="What `benchmarks/maugen.py --json` wrote of it.")
    ] = None,
) -> None:
    """Write a checkpoint to pass on: half precision, nothing that only training needs."""
    import json

    from rich.console import Console

    from ausynth.generators.maugen.release import release as write

    said = None if figures is None else json.loads(figures.read_text("utf-8"))
    path = write(checkpoint, out, verifier=verifier, figures=said)
    size = sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    Console(soft_wrap=True, highlight=False).print(f"Released: {path}, {size / 1e6:.1f} MB.")


def _weights(given: list[str] | None) -> dict[str, float]:
    from ausynth.generators.maugen.options import DEFAULT_WEIGHTS

    weights = dict(DEFAULT_WEIGHTS)
    for text in given or ():
        name, _, value = text.partition("=")
        try:
            weights[name] = float(value)
        except ValueError as error:
            raise ConfigurationError(f"--weight {text}", expected="LOSS=VALUE, such as expression=0.1") from error
    return weights


def _critics(folders: list[Path] | None, aus: tuple[int, ...]) -> Auxiliaries | None:
    if not folders:
        return None
    from ausynth.generators.maugen.objective import Auxiliaries
    from ausynth.networks import load

    critics = []
    for folder in folders:
        network = load(folder, kind="au")
        if network.aus != aus:
            raise ConfigurationError(
                f"the detector {folder} over the AUs {network.aus}",
                expected=f"an AU detector over {aus}",
                do="train one on the same stores with `ausynth train detector`",
            )
        critics.append(network)
    return Auxiliaries(critics=tuple(critics), detectors=tuple(critics))


def _space(space: str | list[int] | None) -> tuple[int, ...] | None:
    from ausynth import facs

    return None if space is None else facs.label_space(space)


def _pipeline(config: MAUGenConfig, preset: str, base: Path | None) -> MAUGenPipeline:
    from ausynth.generators.maugen.pipeline import MAUGenPipeline
    from ausynth.generators.maugen.stable_diffusion import from_stable_diffusion

    if base is not None:
        if preset != "sd15":
            raise ConfigurationError(f"--base with --preset {preset}", expected="--preset sd15")
        return from_stable_diffusion(base, config)
    return MAUGenPipeline.create(config)


@contextmanager
def _shown(steps: int, *, quiet: bool) -> Iterator[Callable[[Standing], None]]:
    """Give a function that shows how far training is: as a bar, or in a log now and then as a line."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True, soft_wrap=True, highlight=False, quiet=quiet)
    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[losses]}"), TimeElapsedColumn(), Remaining())
    said = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=steps, losses="")

        def show(standing: Standing) -> None:
            nonlocal said
            losses = _losses(standing.losses) + (f", {standing.skipped} skipped" if standing.skipped else "")
            bar.update(task, completed=standing.step, losses=losses)
            if not console.is_terminal and time.monotonic() - said > _LINE_EVERY:
                said = time.monotonic()
                console.print(f"step {standing.step:,} of {standing.steps:,}: {losses}")

        yield show


def _losses(losses: Any) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in losses.items())


def _print_summary(console: Console, trained: Trained, steps: int) -> None:
    skipped = f", {trained.skipped} of them skipped: their loss was no number" if trained.skipped else ""
    console.print(f"{trained.step:,} of {steps:,} steps{skipped}; {_losses(trained.losses)}.")
    console.print(f"Checkpoint: {trained.checkpoint}", markup=False)
    console.print(f'Use: MixedStream(..., generator="{trained.checkpoint.parent}")', markup=False)
