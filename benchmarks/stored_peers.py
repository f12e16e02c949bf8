"""The same faces packed for several readers, and the loaders that benchmarks/store.py compares on them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

import ausynth
from ausynth.generators.base import Conditions
from ausynth.labels import Labels
from ausynth.store import Recipe, Samples, Store

BATCH, SIZE, WORKERS = 64, 112, 2


def decode(data: bytes | np.ndarray) -> np.ndarray:
    """Return the picture (H, W, 3), as quickly as OpenCV does it."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


class Packed:
    """N faces as raw pixels and as JPEG, in flat files, LMDB, plain HDF5 and stores of this library."""

    plan = "benchmark"

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        self.plain, self.raw_store, self.jpeg_store = folder / "plain.h5", folder / "raw", folder / "jpeg"
        self.prepared = folder / "prepared"
        self.opened: list[Any] = []
        self.raw = np.memmap(folder / "raw.bin", np.uint8, "r", shape=(count, SIZE, SIZE, 3))
        self.jpeg = np.memmap(folder / "jpeg.bin", np.uint8, "r")
        self.ends = np.load(folder / "ends.npy")
        self.occurrence = np.load(folder / "occurrence.npy")

    def __len__(self) -> int:
        return self.count

    def coded(self, key: int) -> bytes:
        """Return one JPEG."""
        return self.jpeg[self.ends[key - 1] if key else 0 : self.ends[key]].tobytes()

    def lmdb(self, kind: str) -> Any:
        """Return the LMDB environment of "raw" or "jpeg"."""
        import lmdb

        opened = lmdb.open(str(self.folder / f"{kind}.lmdb"), readonly=True, lock=False, readahead=False)
        self.opened.append(opened)
        return opened

    def close(self) -> None:
        """Close the LMDB environments: a forked worker could not open them a second time."""
        while self.opened:
            self.opened.pop().close()

    def __getstate__(self) -> tuple[Path, int]:
        return (self.folder, self.count)

    def __setstate__(self, state: tuple[Path, int]) -> None:
        self.__init__(*state)  # type: ignore[misc]


class _Map(Dataset):
    def __init__(self, packed: Packed, kind: str) -> None:
        self.packed, self.kind, self.transaction = packed, kind, None

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, key: int) -> tuple[torch.Tensor, torch.Tensor]:
        if self.kind == "raw":
            image = np.array(self.packed.raw[key])
        else:
            self.transaction = self.transaction or self.packed.lmdb("jpeg").begin()
            image = decode(self.transaction.get(b"%08d" % key))
        return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(self.packed.occurrence[key])


class TorchMapped:
    """torch.utils.data: a map-style dataset, shuffled."""

    def __init__(self, packed: Packed, kind: str) -> None:
        self.packed, self.kind = packed, kind

    def batches(self) -> Iterator[Any]:
        """Begin to iterate."""
        more = {"prefetch_factor": 4, "persistent_workers": True, "num_workers": WORKERS}
        loader = DataLoader(_Map(self.packed, self.kind), BATCH, shuffle=True, **more)
        while True:
            yield from loader


class GrainBatches:
    """Grain: shuffled, whole batches made in its reading threads."""

    def __init__(self, packed: Packed, kind: str) -> None:
        self.packed, self.kind = packed, kind

    def _batch(self, keys: list[int]) -> dict[str, Any]:
        if self.kind == "raw":
            images = self.packed.raw[keys]
        else:
            images = np.empty((len(keys), SIZE, SIZE, 3), np.uint8)
            for row, key in enumerate(keys):
                images[row] = decode(self.packed.coded(key))
        labels = torch.from_numpy(self.packed.occurrence[keys])
        return {"image": torch.from_numpy(images).permute(0, 3, 1, 2), "labels": labels}

    def batches(self) -> Iterator[Any]:
        """Begin to iterate."""
        import grain

        order = grain.MapDataset.range(len(self.packed)).seed(0).shuffle().repeat()
        options = grain.ReadOptions(num_threads=WORKERS, prefetch_buffer_size=2 * WORKERS + 2)
        return iter(order.batch(BATCH, batch_fn=list).map(self._batch).to_iter_dataset(options))


def write_packed(folder: Path, count: int) -> Packed:
    """Write `count` faces of 112 px in every form."""
    import lmdb

    from ausynth.samplers.combinations import CombinationSampler

    generator = ausynth.load_generator("rendered", image_size=SIZE)
    distinct = min(count, 256)
    intensity = CombinationSampler(generator.aus).sample(np.arange(distinct), 0)
    made = generator.generate(Conditions(intensity, np.arange(distinct), np.arange(distinct)))
    noise = np.random.default_rng(0).normal(0, 6, made.images.shape)  # a camera's: rendered pictures are too smooth
    faces = np.clip(made.images + noise, 0, 255).astype(np.uint8)
    jpegs = [cv2.imencode(".jpg", face[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])[1].tobytes() for face in faces]
    rows = np.arange(count) % distinct
    labels = Labels.from_intensity(generator.aus, intensity[rows])
    np.save(folder / "occurrence.npy", labels.occurrence)
    np.save(folder / "ends.npy", np.cumsum([len(jpegs[row]) for row in rows]))
    stores = {
        codec: Store.create(
            folder / codec,
            Recipe("synthetic", generator.aus, SIZE, codec, 93 if codec == "jpeg" else None, "benchmark"),
        )
        for codec in ("raw", "jpeg")
    }
    environments = {kind: lmdb.open(str(folder / f"{kind}.lmdb"), map_size=1 << 40) for kind in ("raw", "jpeg")}
    with (
        (folder / "raw.bin").open("wb") as raw,
        (folder / "jpeg.bin").open("wb") as flat,
        h5py.File(folder / "plain.h5", "w") as plain,
    ):
        pictures = plain.create_dataset("images", (count, SIZE, SIZE, 3), np.uint8, chunks=(64, SIZE, SIZE, 3))
        coded = plain.create_dataset("jpeg", (count,), h5py.vlen_dtype(np.uint8))
        for first in range(0, count, 4096):
            some = np.arange(first, min(first + 4096, count))
            keys = np.zeros((len(some), 16), np.uint8)
            keys[:, :8] = some[:, None].view(np.uint8)
            nothing = np.zeros(len(some), np.int64)
            samples = Samples(
                some, keys, labels[some], intensity[rows[some]], some % 40, some, nothing, ("",) * len(some)
            )
            stores["raw"].write(samples, faces[rows[some]], plan=Packed.plan)
            stores["jpeg"].write(samples, [jpegs[row] for row in rows[some]], plan=Packed.plan)
            with environments["raw"].begin(write=True) as one, environments["jpeg"].begin(write=True) as other:
                for key in some.tolist():
                    face, jpeg = faces[rows[key]], jpegs[rows[key]]
                    raw.write(face.tobytes())
                    flat.write(jpeg)
                    pictures[key], coded[key] = face, np.frombuffer(jpeg, np.uint8)
                    one.put(b"%08d" % key, face.tobytes())
                    other.put(b"%08d" % key, jpeg)
    _prepare(folder, [jpegs[row] for row in rows], labels)
    return Packed(folder, count)


def _prepare(folder: Path, jpegs: list[bytes], labels: Labels) -> None:
    """Write the faces as files with a table of labels, and prepare them as a user does."""
    from ausynth.jobs.prepare import prepare

    (folder / "files").mkdir()
    with (folder / "files" / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "identity", *(f"AU{au}" for au in labels.aus)])
        for row, jpeg in enumerate(jpegs):
            (folder / "files" / f"{row:06d}.jpg").write_bytes(jpeg)
            table.writerow([f"{row:06d}.jpg", row % 40, *labels.intensity[row]])
    prepare("folder", folder / "files" / "labels.csv", folder / "prepared", size=SIZE, codec="jpeg", workers=0)
