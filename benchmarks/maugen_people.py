"""Whom MAUGen's faces resemble: each one against the people of a face bank whose photographs trained it.

    AUSYNTH_TEST_DATA=... python benchmarks/maugen_people.py [--checkpoint DIR] [--quick] [--json PATH]

The threshold is where a guard's calibration puts it, on photographs of people who are not of the bank: above it
lies at most one picture in a hundred of a stranger, compared with all of the bank. dlib's network compares (the extra
`identity`); it looks at faces of 150 pixels, and MAUGen's are enlarged, which makes strangers more alike to it:
photographs reduced to the same size and enlarged again stand beside them.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import cv2
import numpy as np
from common import arguments, machine, write_keys
from numpy.typing import NDArray

from ausynth.generators import Conditions
from ausynth.generators.maugen.generator import MAUGenGenerator
from ausynth.generators.maugen.shipped import SHIPPED
from ausynth.samplers import DlibEncoder, Gallery, LeakageGuard

SIZE = 256
FIRST = 1_000_000


def main() -> None:
    options = arguments(
        __doc__,
        lambda parser: parser.add_argument(
            "--checkpoint", type=Path, default=SHIPPED, metavar="DIR", help="default: the package's own"
        ),
    )
    data = os.environ.get("AUSYNTH_TEST_DATA")
    if data is None:
        raise SystemExit("set AUSYNTH_TEST_DATA to a folder with faces/faces.csv and the photographs it lists")
    figures = resemblance(options.checkpoint, Path(data) / "faces", 16 if options.quick else 200)
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):>60} {value:8.3f}")
    print(machine())
    write_keys(figures, options.json)


def resemblance(checkpoint: Path, folder: Path, count: int) -> dict[str, float]:
    """Return how like the bank's people faces are: MAUGen's, and as a reference those of other photographs."""
    listed = csv.DictReader((folder / "faces.csv").read_text().splitlines())
    rows = [row for row in listed if row["expression"] == "neutral"]
    encoder = DlibEncoder()
    photographs = np.stack([read(folder / row["file"]) for row in rows])
    role = np.array([row["role"] for row in rows])
    bank, others = encoder.embed(photographs[role == "bank"]), encoder.embed(photographs[role != "bank"])
    galleries = [
        Gallery(each, np.arange(len(each)), tuple(names), encoder.fingerprint)
        for each, names in (
            (bank, [row["identity"] for row in rows if row["role"] == "bank"]),
            (others, [row["identity"] for row in rows if row["role"] != "bank"]),
        )
    ]
    guard = LeakageGuard(galleries[0], encoder, calibrate=galleries[1])
    generator = MAUGenGenerator(checkpoint)
    still = np.zeros((count, len(generator.aus)), np.float32)
    made = generator.generate(Conditions(still, FIRST + np.arange(count), np.arange(count))).images
    reduced = np.stack([enlarged(cv2.resize(each, (88, 88), interpolation=cv2.INTER_AREA)) for each in photographs])
    found = {"maugen": encoder.embed(padded(made)), "other_people_reduced": encoder.embed(reduced[role != "bank"])}
    figures: dict[str, float] = {"people_of_the_bank": float(len(bank)), "threshold": guard.threshold}
    for name, vectors in found.items():
        seen = vectors[vectors.any(1)]
        nearest = (seen @ bank.T).max(1)
        figures |= {
            f"{name}_faces": float(len(vectors)),
            f"{name}_faces_found": float(len(seen)),
            f"{name}_median_nearest_cosine": float(np.median(nearest)),
            f"{name}_largest_cosine": float(nearest.max()),
            f"{name}_share_above_threshold": float((nearest >= guard.threshold).mean()),
        }
    return figures


def read(path: Path) -> NDArray[np.uint8]:
    """Return a photograph, red first."""
    return np.asarray(cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2RGB), np.uint8)


def enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture at the photographs' size."""
    return np.asarray(cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), np.uint8)


def padded(images_BHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return faces that were cut close with their edge carried on around them, for a face finder to find them."""
    edge = images_BHWC.shape[1] * 12 // 64
    wide = np.pad(images_BHWC, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode="edge")
    return np.stack([enlarged(each) for each in wide])


if __name__ == "__main__":
    main()
