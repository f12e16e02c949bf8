"""The command line: `ausynth COMMAND`. Each command lies in its own file of `ausynth.commands`."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import ausynth
from ausynth.commands.assets import assets
from ausynth.commands.balance import balance
from ausynth.commands.bench import bench
from ausynth.commands.cache import cache
from ausynth.commands.doctor import doctor
from ausynth.commands.export import export
from ausynth.commands.faces import faces
from ausynth.commands.generate import generate
from ausynth.commands.identity import identity
from ausynth.commands.prepare import prepare
from ausynth.commands.preview import preview
from ausynth.commands.sheet import sheet
from ausynth.commands.simulate import simulate
from ausynth.commands.train import train
from ausynth.commands.warmup import warmup
from ausynth.errors import AusynthError, ConfigurationError

__all__ = ["app"]

_WRONG_ARGUMENT, _FAILED, _INTERRUPTED = 2, 1, 130


class _Commands(TyperGroup):
    """Turns what a command raises into one clear message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            with warnings.catch_warnings():
                # What the library warns of is for this reader too, who has no use for a line of its source.
                warnings.showwarning = lambda message, *_: _say("note", str(message))
                return super().invoke(ctx)
        except (KeyboardInterrupt, SystemError) as error:
            if not _is_interrupt(error):
                raise
            _say("interrupted", "what was whole is kept, nothing is left half written")
            raise typer.Exit(_INTERRUPTED) from None
        except BrokenPipeError:
            raise  # the reader of a pipe has gone: typer ends quietly
        except (AusynthError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            _say("error", str(error))
            raise typer.Exit(_WRONG_ARGUMENT if isinstance(error, ConfigurationError) else _FAILED) from None


def _is_interrupt(error: BaseException | None) -> bool:
    """Return whether Ctrl-C is behind an error: in the middle of compiled code it comes out as what it caused."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _is_interrupt(error.__cause__))


app = typer.Typer(
    name="ausynth",
    cls=_Commands,
    help=ausynth.__doc__.splitlines()[0] if ausynth.__doc__ else None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ausynth {ausynth.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is, and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="AUSYNTH_DEBUG", help="Show the whole traceback of an error.")
    ] = False,
) -> None:
    pass


def _say(kind: str, text: str) -> None:
    from rich.console import Console
    from rich.text import Text

    colour = "red" if kind == "error" else "yellow"
    Console(stderr=True, soft_wrap=True).print(Text.assemble((f"{kind}: ", f"bold {colour}"), text))


app.command()(simulate)
app.command()(generate)
app.command()(preview)
app.command()(sheet)
app.command()(doctor)
app.command()(prepare)
app.command()(warmup)
app.command()(export)
app.command()(balance)
app.command()(bench)
app.add_typer(cache, name="cache")
app.add_typer(assets, name="assets")
app.add_typer(faces, name="faces")
app.add_typer(train, name="train")
app.add_typer(identity, name="identity")


if __name__ == "__main__":
    sys.exit(app())
