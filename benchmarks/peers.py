"""The loaders that benchmarks/stream.py compares, each tuned as its documentation says, on the same labelled files.

A loader is opened with a number of workers (threads or processes, whatever it is made for) and yields batches with
`image` uint8 (B, 3, H, W) and labels. Two sources, asked for half and half: the first holds the numbers below `half`.
Every picture has its number stamped into its pixels, so what a loader delivered is read off its pictures, whatever it
says of itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

import ausynth
from ausynth import facs
from ausynth.generators.base import Conditions, Generated
from ausynth.labels import Labels
from ausynth.sources import Folder

BATCH, SIZE = 64, 112
STAMP = SIZE // 8


class Peer(Protocol):
    """A loader under test; `state` and `resume` are None where it cannot be checkpointed."""

    name: str

    def open(self, workers: int, state: Any = None) -> Iterator[dict[str, Any]]:
        """Begin to iterate, from `state` if given."""

    def state(self, batch: dict[str, Any]) -> Any:
        """Return what resumes after `batch`, the last one that was yielded; None: it has no state."""


class Files:
    """N labelled JPEG files and how one, or a batch of them, is read."""

    def __init__(self, sources: list[Folder]) -> None:
        self.paths = [os.path.join(s.frames.root, path) for s in sources for path in s.frames.paths]  # noqa: PTH118
        self.labels = np.concatenate([source.labels.occurrence for source in sources])
        self.half = len(sources[0])

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, key: int) -> np.ndarray:
        """Return one picture (H, W, 3)."""
        descriptor = os.open(self.paths[key], os.O_RDONLY)  # the quickest way that Python has to a whole file
        data = os.read(descriptor, os.fstat(descriptor).st_size)
        os.close(descriptor)
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)

    def batch(self, keys: list[int]) -> dict[str, Any]:
        """Return a batch, read into one array."""
        images = np.empty((len(keys), SIZE, SIZE, 3), np.uint8)
        for row, key in enumerate(keys):
            images[row] = self.image(key)
        image = torch.from_numpy(images).permute(0, 3, 1, 2)
        return {"image": image, "labels": torch.from_numpy(self.labels[keys])}


class FreeGenerator:
    """A generator that costs nothing: what is left is the stream."""

    name, fingerprint, image_size, aus, block_size = "free", "free", SIZE, facs.UNION_17, 1

    def __init__(self) -> None:
        self._nothing = np.zeros((BATCH, SIZE, SIZE, 3), np.uint8)

    def generate(self, conditions: Conditions) -> Generated:
        """Return black pictures."""
        return Generated(self._nothing[: len(conditions)], Labels.from_intensity(self.aus, conditions.intensity))


class Mixed:
    """MixedStream: whole batches, threads in the process that trains (`processes`: DataLoader workers instead)."""

    def __init__(
        self, sources: list[Folder], ratio: float, name: str, *, processes: bool = False, balance: str | None = None
    ) -> None:
        self.sources, self.ratio, self.name, self.processes, self.balance = sources, ratio, name, processes, balance

    def open(self, workers: int, state: Any = None) -> Iterator[dict[str, Any]]:
        self.stream = ausynth.MixedStream(
            self.sources,
            self.ratio,
            generator=FreeGenerator(),
            aus="union-17",
            batch_size=BATCH,
            threads=0 if self.processes else workers,
            weights=[1, 1],
            balance=self.balance,
        )
        if state is not None:
            self.stream.load_state_dict(state)
        loader = DataLoader(self.stream, batch_size=None, num_workers=workers) if self.processes else self.stream
        yield from loader

    def state(self, batch: dict[str, Any]) -> Any:
        return self.stream.state_dict(after=batch)


class _Map(Dataset):
    def __init__(self, files: Files) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = torch.from_numpy(self.files.image(key)).permute(2, 0, 1)
        return image, torch.from_numpy(self.files.labels[key])


class TorchMap:
    """torch.utils.data: a map-style dataset, shuffled; the mixture is left to chance."""

    name = "torch map-style"

    def __init__(self, files: Files) -> None:
        self.files = files

    def open(self, workers: int, state: Any = None) -> Iterator[dict[str, Any]]:
        more = {"prefetch_factor": 4, "persistent_workers": True} if workers else {}
        generator = torch.Generator().manual_seed(0)
        loader = DataLoader(_Map(self.files), BATCH, shuffle=True, num_workers=workers, generator=generator, **more)
        while True:
            for image, labels in loader:
                yield {"image": image, "labels": labels}

    def state(self, batch: dict[str, Any]) -> Any:
        return None


class _Alternating(IterableDataset):
    def __init__(self, files: Files) -> None:
        self.files = files

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        lane, lanes = (worker.id, worker.num_workers) if worker else (0, 1)
        orders = [np.random.default_rng(part).permutation(self.files.half) + part * self.files.half for part in (0, 1)]
        both = np.stack(orders, axis=1).ravel()
        while True:
            for start in range(lane * BATCH, len(both) - BATCH, lanes * BATCH):
                yield self.files.batch(both[start : start + BATCH].tolist())


class TorchIterable:
    """torch.utils.data: an IterableDataset that alternates by hand and yields whole batches."""

    name = "torch IterableDataset"

    def __init__(self, files: Files) -> None:
        self.files = files

    def open(self, workers: int, state: Any = None) -> Iterator[dict[str, Any]]:
        more = {"prefetch_factor": 4} if workers else {}
        yield from DataLoader(_Alternating(self.files), batch_size=None, num_workers=workers, **more)

    def state(self, batch: dict[str, Any]) -> Any:
        return None


class Grain:
    """Grain: MapDataset.mix, batches made in its reading threads."""

    name = "Grain, threads"

    def __init__(self, files: Files) -> None:
        self.files = files

    def open(self, workers: int, state: Any = None) -> Iterator[dict[str, Any]]:
        import grain

        parts = [
            grain.MapDataset.range(part * self.files.half, (part + 1) * self.files.half).seed(part).shuffle().repeat()
            for part in (0, 1)
        ]
        mixed = grain.MapDataset.mix(parts, weights=[0.5, 0.5]).batch(BATCH, batch_fn=list).map(self.files.batch)
        options = grain.ReadOptions(num_threads=max(1, workers), prefetch_buffer_size=2 * max(1, workers) + 2)
        self.iterator = iter(mixed.to_iter_dataset(options))
        if state is not None:
            self.iterator.set_state(state)
        yield from self.iterator

    def state(self, batch: dict[str, Any]) -> Any:
        return self.iterator.get_state()


class TorchdataNodes:
    """torchdata.nodes: weighted sampling of two nodes, whole batches mapped in threads."""

    name = "torchdata nodes"

    def __init__(self, files: Files) -> None:
        self.files = files

    def open(self, workers: int, state: Any = None) -> Iterator[dict[str, Any]]:
        from torch.utils.data import RandomSampler
        from torchdata import nodes

        parts = {}
        for part in (0, 1):
            keys = range(part * self.files.half, (part + 1) * self.files.half)
            sampler = RandomSampler(keys, generator=torch.Generator().manual_seed(part))
            parts[str(part)] = nodes.MapStyleWrapper(keys, sampler)
        node: Any = nodes.MultiNodeWeightedSampler(
            parts, {"0": 0.5, "1": 0.5}, stop_criteria=nodes.StopCriteria.CYCLE_FOREVER, seed=0
        )
        node = nodes.Batcher(node, BATCH)
        node = nodes.ParallelMapper(node, self.files.batch, num_workers=max(1, workers), method="thread")
        self.loader = nodes.Loader(nodes.Prefetcher(node, 4))
        if state is not None:
            self.loader.load_state_dict(state)
        yield from self.loader

    def state(self, batch: dict[str, Any]) -> Any:
        return self.loader.state_dict()


def stamp(image: np.ndarray, number: int) -> None:
    """Write a number into the lowest rows of a picture (112, 112, 3), a black or white JPEG block for each bit."""
    bits = (number >> np.arange(2 * STAMP)) & 1
    blocks = np.kron(bits.reshape(2, STAMP), np.ones((8, 8))) * 255
    image[-16:] = blocks[..., None].astype(np.uint8)


def numbers(image_BCHW: torch.Tensor) -> np.ndarray:
    """Return (B,) the numbers that are stamped into the pictures."""
    lowest = image_BCHW[:, :, -16:].numpy().mean(axis=1)
    bits = lowest.reshape(-1, 2, 8, STAMP, 8).mean(axis=(2, 4)).reshape(-1, 2 * STAMP) > 127
    return (bits << np.arange(2 * STAMP)).sum(axis=1)


def write_faces(folder: Path, count: int) -> list[Folder]:
    """Write `count` JPEG faces of 112 px, 8 kB or so each, as two labelled folders."""
    import csv

    from ausynth.samplers.combinations import CombinationSampler

    generator = ausynth.load_generator("rendered", image_size=SIZE)
    distinct = min(count, 256)
    intensity = CombinationSampler(generator.aus).sample(np.arange(distinct), 0)
    made = generator.generate(Conditions(intensity, np.arange(distinct), np.arange(distinct)))
    noise = np.random.default_rng(0).normal(0, 6, made.images.shape)  # a camera's: rendered pictures are too smooth
    images = np.clip(made.images + noise, 0, 255).astype(np.uint8)
    sources = []
    for half in range(2):
        root = folder / f"half{half}"
        root.mkdir()
        with (root / "labels.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["image", "identity", *(f"AU{au}" for au in generator.aus)])
            for row in range(half * count // 2, (half + 1) * count // 2):
                image = images[row % distinct].copy()
                stamp(image, row)
                done, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])
                assert done
                (root / f"{row:06d}.jpg").write_bytes(coded.tobytes())
                table.writerow([f"{row:06d}.jpg", row % 40, *intensity[row % distinct].astype(int)])
        sources.append(Folder(root / "labels.csv", root))
    return sources
