"""`ausynth assets`: files that users bring themselves, brought into the asset folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["assets"]

assets = typer.Typer(
    no_args_is_help=True,
    help="Bring in files that do not ship with the package: import, list.",
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_KINDS = ("ict-facekit", "face-landmarker")


@assets.command(name="import")
def bring(
    kind: Annotated[str, typer.Argument(metavar="ict-facekit|face-landmarker", help="What it is.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Where you have it.")],
) -> None:
    """Bring a file into the asset folder: `AUSYNTH_ASSETS`, or else the user's data folder.

    **ict-facekit**: the head of the portrait look. PATH is a checkout of ICT-FaceKit with its OBJ files
    (https://github.com/USC-ICT/ICT-FaceKit; USC Institute for Creative Technologies, MIT licence), or an npz of the
    same numbers. A compact file of 14 MB is written.

    **face-landmarker**: MediaPipe's model that finds faces for `ausynth faces build`. PATH is face_landmarker.task
    (https://ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker; Google, Apache-2.0), which is copied.

    The file is whole or not there, whatever happens meanwhile; an older one is replaced.
    """
    from rich.console import Console

    from ausynth.assets import ICT_FACEKIT, LANDMARKER, put_asset, task_model
    from ausynth.bars import counting_bar
    from ausynth.errors import ConfigurationError

    console = Console(soft_wrap=True)
    if kind == "face-landmarker":
        made = put_asset(LANDMARKER, task_model(path))
    elif kind == "ict-facekit":
        from ausynth.generators.portrait.ict_pack import pack_kit, read_kit

        with counting_bar("files", console=console, transient=True) as bar:
            task = bar.add_task("reading", total=None)
            kit = read_kit(path, progress=lambda done, total: bar.update(task, completed=done, total=total))
            bar.update(task, description="packing")
            data = pack_kit(kit)
        made = put_asset(ICT_FACEKIT, data)
    else:
        raise ConfigurationError(f"an asset called {kind!r}", expected=" or ".join(_KINDS))
    console.print(f"{made}: {made.stat().st_size / 1e6:.1f} MB.")


@assets.command(name="list")
def show() -> None:
    """Say which assets are there, and how to get those that are not."""
    from rich.console import Console

    from ausynth.assets import ICT_FACEKIT, LANDMARKER, MissingAssetError, asset_folder, find_asset

    console = Console(soft_wrap=True)
    console.print(f"asset folder: {asset_folder()}")
    for name in (ICT_FACEKIT, LANDMARKER):
        try:
            path = find_asset(name)
        except MissingAssetError as error:
            console.print(f"{name}: not there. {error}")
        else:
            console.print(f"{name}: {path.stat().st_size / 1e6:.1f} MB")
