"""How fast does a first MixedStream run, beside the decoder alone and a torch map-style loader on the same files?

    python benchmarks/stream.py [--quick] [--json PATH]

20,000 JPEG faces of 112 px (rendered, then written in many copies) in two labelled folders; batches of 64; images a
second, median of interleaved rounds, everything in this process on one thread unless the row says otherwise. The limit
is `cv2.imdecode` of the same files, nothing else.
"""

from __future__ import annotations

import csv
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from common import Report, arguments
from torch.utils.data import DataLoader, Dataset

import ausynth
from ausynth import facs
from ausynth.generators.base import Conditions, Generated
from ausynth.labels import Labels
from ausynth.samplers.combinations import CombinationSampler
from ausynth.sources import Folder
from ausynth.sources.images import decode_image

BATCH = 64


class FreeGenerator:
    """A generator that costs nothing: what is left is the stream."""

    name, fingerprint, image_size, aus, block_size = "free", "free", 112, facs.UNION_17, 1

    def generate(self, conditions: Conditions) -> Generated:
        images = np.zeros((len(conditions), 112, 112, 3), np.uint8)
        return Generated(images, Labels.from_intensity(self.aus, conditions.intensity))


class MapStyle(Dataset):
    """What a training script has today: a list of files and labels, a picture at a time."""

    def __init__(self, paths: list[Path], labels: np.ndarray) -> None:
        self.paths, self.labels = paths, torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = decode_image(self.paths[index].read_bytes(), self.paths[index])
        return torch.from_numpy(image).permute(2, 0, 1), self.labels[index]


def write_faces(folder: Path, count: int) -> list[Folder]:
    """Write `count` JPEG faces as two labelled folders."""
    generator = ausynth.load_generator("rendered", image_size=112)
    distinct = min(count, 256)
    intensity = CombinationSampler(generator.aus).sample(np.arange(distinct), 0)
    made = generator.generate(Conditions(intensity, np.arange(distinct), np.arange(distinct)))
    coded = [
        cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() for image in made.images
    ]
    sources = []
    for half in range(2):
        rows = range(half * count // 2, (half + 1) * count // 2)
        root = folder / f"half{half}"
        root.mkdir()
        with (root / "labels.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["image", "identity", *(f"AU{au}" for au in generator.aus)])
            for row in rows:
                (root / f"{row:06d}.jpg").write_bytes(coded[row % distinct])
                table.writerow([f"{row:06d}.jpg", row % 40, *intensity[row % distinct].astype(int)])
        sources.append(Folder(root / "labels.csv", root))
    return sources


def rate(batches: Iterator[object], count: int) -> float:
    """Return images a second over `count` batches, after one that warms up."""
    next(batches)
    start = time.perf_counter()
    for _ in islice(batches, count):
        pass
    return count * BATCH / (time.perf_counter() - start)


def main() -> None:
    options = arguments(__doc__)
    files, batches, rounds = (1_000, 8, 3) if options.quick else (20_000, 60, 5)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        sources = write_faces(Path(folder), files)
        paths = [source.frames.root / path for source in sources for path in source.frames.paths]
        labels = np.concatenate([source.labels.occurrence for source in sources])
        order = np.random.default_rng(0).permutation(len(paths))

        def decoder() -> Iterator[object]:
            for start in range(0, len(order) - BATCH, BATCH):
                yield [
                    cv2.imdecode(np.fromfile(paths[i], np.uint8), cv2.IMREAD_COLOR_RGB) for i in order[start:][:BATCH]
                ]

        def stream(ratio: float, generator: object = "rendered") -> Iterator[object]:
            return iter(ausynth.MixedStream(sources, ratio, generator=generator, aus="union-17", batch_size=BATCH))

        def map_style(workers: int) -> Iterator[object]:
            return iter(DataLoader(MapStyle(paths, labels), BATCH, shuffle=True, num_workers=workers))

        rows: dict[str, Callable[[], Iterator[object]]] = {
            "decode_limit": decoder,
            "mixed_ratio_0": lambda: stream(0),
            "mixed_ratio_half_free_generator": lambda: stream(0.5, FreeGenerator()),
            "mixed_ratio_half_rendered": lambda: stream(0.5),
            "torch_map_style": lambda: map_style(0),
            "torch_map_style_2_workers": lambda: map_style(2),
        }
        seen: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(rounds):
            for name, begin in rows.items():
                few = 2 if options.quick else 8
                seen[name].append(rate(begin(), few if "rendered" in name else batches))
    report = Report("images a second, batches of 64, 112 px JPEG faces")
    median = {name: statistics.median(values) for name, values in seen.items()}
    for name, value in median.items():
        report.add(name, value, ratio=value / median["decode_limit"])
    report.key("ratio_to_decode_limit", median["mixed_ratio_0"] / median["decode_limit"])
    report.finish(options.json)


if __name__ == "__main__":
    main()
