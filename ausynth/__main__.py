"""`python -m ausynth` is `ausynth`."""

from ausynth.cli import app

app(prog_name="ausynth")
