"""How fast does the store read, and how close does a stream on packed data come to the decoder?

    python benchmarks/store.py [--quick] [--json PATH]       (peers: pip install 'ausynth[bench]')

First the bare reads: 20,000 faces of 112 px in shuffled batches of 64 on one thread, as raw pixels and as JPEG bytes
of about 8 kB, from the store (checksums verified, and not), beside a copy in memory, numpy.memmap, LMDB, and HDF5
indexed as most code does (`dataset[i]`, and fancy indexing). Then whole batches as a training loop gets them, on two
threads or worker processes: packed JPEG against two threads that decode the same bytes from memory and do nothing
else, stored raw pixels, and other loaders on the same data, each tuned as its documentation says. Median of
interleaved rounds, all on a warm page cache. Last, the process's memory after 100,000 samples and at the end of a long
run over stored pixels (a million; with --quick fewer).
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import torch
from common import Report, arguments, rate
from stored_peers import BATCH, SIZE, GrainBatches, Packed, TorchMapped, decode, write_packed

import ausynth
from ausynth.store import Store

WORKERS = 2


def read_rate(read: Callable[[np.ndarray], object], order: np.ndarray) -> float:
    """Return images a second of reading `order` by batches."""
    start = time.perf_counter()
    for first in range(0, len(order), BATCH):
        read(order[first : first + BATCH])
    return len(order) / (time.perf_counter() - start)


def raw_readers(packed: Packed) -> dict[str, Callable[[np.ndarray], object]]:
    """Return the ways to read a batch of raw pixels."""
    out = np.empty((BATCH, SIZE, SIZE, 3), np.uint8)
    memory, mapped = np.array(packed.raw), packed.raw
    plain = h5py.File(packed.plain, "r")["images"]
    transaction = packed.lmdb("raw").begin(buffers=True)

    def rows(keys: np.ndarray, source: np.ndarray) -> None:
        np.take(source, keys, axis=0, out=out[: len(keys)], mode="clip")  # "raise" would copy twice

    def from_lmdb(keys: np.ndarray) -> None:
        for place, key in enumerate(keys.tolist()):
            out[place] = np.frombuffer(transaction.get(b"%08d" % key), np.uint8).reshape(SIZE, SIZE, 3)

    def from_store(keys: np.ndarray, store: Store, places: np.ndarray) -> None:
        store.read(places[keys], out[: len(keys)])

    verified, trusted = Store(packed.raw_store), Store(packed.raw_store, verify="never")
    places = verified.find(packed.plan, np.arange(len(packed)))
    return {
        "raw: copied in memory": partial(rows, source=memory),
        "raw: Store, verified": partial(from_store, store=verified, places=places),
        "raw: Store, not verified": partial(from_store, store=trusted, places=places),
        "raw: numpy memmap": partial(rows, source=mapped),
        "raw: LMDB": from_lmdb,
        "raw: h5py, one index at a time": lambda keys: [plain.__getitem__(int(key)) for key in keys],
        "raw: h5py fancy indexing": lambda keys: plain[np.sort(keys)],
    }


def jpeg_readers(packed: Packed) -> dict[str, Callable[[np.ndarray], object]]:
    """Return the ways to read a batch of JPEG bytes."""
    memory, ends = packed.jpeg.tobytes(), packed.ends
    starts = np.concatenate([[0], ends[:-1]])
    plain = h5py.File(packed.plain, "r")["jpeg"]
    transaction = packed.lmdb("jpeg").begin()
    verified, trusted = Store(packed.jpeg_store), Store(packed.jpeg_store, verify="never")
    places = verified.find(packed.plan, np.arange(len(packed)))

    def from_store(keys: np.ndarray, store: Store) -> object:
        return [store.encoded(place) for place in places[keys].tolist()]

    return {
        "jpeg bytes: copied in memory": lambda keys: [memory[starts[k] : ends[k]] for k in keys.tolist()],
        "jpeg bytes: Store, verified": partial(from_store, store=verified),
        "jpeg bytes: Store, not verified": partial(from_store, store=trusted),
        "jpeg bytes: numpy memmap": lambda keys: [packed.jpeg[starts[k] : ends[k]].tobytes() for k in keys.tolist()],
        "jpeg bytes: LMDB": lambda keys: [transaction.get(b"%08d" % key) for key in keys.tolist()],
        "jpeg bytes: h5py, a variable-length row each": lambda keys: [plain[int(key)] for key in keys],
    }


def decode_limit(packed: Packed, images: int) -> float:
    """Return images a second of threads that decode JPEG bytes in memory, each its own share, and nothing else."""
    jpegs = [packed.coded(key) for key in range(len(packed))]
    order = np.random.default_rng(0).integers(0, len(jpegs), images).tolist()

    def share(first: int) -> None:
        for key in order[first::WORKERS]:
            decode(jpegs[key])

    start = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(share, range(WORKERS)))
    return images / (time.perf_counter() - start)


def streams(packed: Packed) -> dict[str, Callable[[], Iterator[Any]]]:
    """Return the streams of whole batches that are compared, by name."""

    def prepared() -> Iterator[Any]:
        source = ausynth.open_source("folder", packed.prepared)
        return iter(ausynth.MixedStream(source, 0, batch_size=BATCH, threads=WORKERS, balance=None))

    def pool(verify: str = "read") -> Iterator[Any]:
        stream = ausynth.MixedStream(
            None, 1, synthetic=packed.raw_store, batch_size=BATCH, threads=WORKERS, balance=None
        )
        stream._assembler.synthetic.store = Store(packed.raw_store, verify=verify)
        return iter(stream)

    return {
        "jpeg: MixedStream": prepared,
        "jpeg: torch map-style on LMDB": TorchMapped(packed, "jpeg").batches,
        "jpeg: Grain on memmap": GrainBatches(packed, "jpeg").batches,
        "pixels: MixedStream": pool,
        "pixels: MixedStream, not verified": partial(pool, "never"),
        "pixels: torch map-style on memmap": TorchMapped(packed, "raw").batches,
        "pixels: Grain on memmap": GrainBatches(packed, "raw").batches,
    }


def memory_growth(packed: Packed, samples: int, report: Report) -> None:
    """Report the resident memory after a tenth of `samples` from the store, and at their end."""
    stream = ausynth.MixedStream(None, 1, synthetic=packed.raw_store, batch_size=BATCH, threads=WORKERS, balance=None)
    seen = []
    for number, _ in enumerate(islice(stream, samples // BATCH), 1):
        if number in (samples // BATCH // 10, samples // BATCH):
            gc.collect()
            seen.append(_resident())
    report.add(f"MB resident after {samples // 10:,} samples", seen[0])
    report.add(f"MB resident after {samples:,} samples", seen[-1])
    report.key("memory_growth_mb", seen[-1] - seen[0])


def _resident() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    """Run all parts."""
    options = arguments(__doc__)
    count, batches, rounds, long = (2_000, 20, 2, 40_000) if options.quick else (20_000, 300, 5, 1_000_000)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        packed = write_packed(Path(folder), count)
        order = np.random.default_rng(1).permutation(count)
        reads = Report(f"{count:,} faces of {SIZE} px, shuffled batches of {BATCH}, one thread: images/s")
        for open_readers in (raw_readers, jpeg_readers):
            readers = open_readers(packed)
            seen: dict[str, list[float]] = {name: [] for name in readers}
            for _ in range(rounds):
                for name, read in readers.items():
                    # Fancy indexing would take minutes over all.
                    seen[name].append(read_rate(read, order[: 2 * BATCH] if "fancy" in name else order))
            median = {name: statistics.median(values) for name, values in seen.items()}
            for name, value in median.items():
                reads.add(name, value, ratio=value / next(iter(median.values())))
            del readers, read
            packed.close()
        reads.finish(options.json and options.json.with_suffix(".reads.json"))
        report = Report(
            f"whole batches of {BATCH}, {WORKERS} threads or workers: images/s (ratio: to the decode limit)"
        )
        opened = streams(packed)
        rates: dict[str, list[float]] = {"decode limit": [], **{name: [] for name in opened}}
        for _ in range(rounds):
            rates["decode limit"].append(decode_limit(packed, batches * BATCH))
            for name, begin in opened.items():
                iterator = begin()
                rates[name].append(rate(iterator, batches, BATCH))
                if hasattr(iterator, "close"):
                    iterator.close()
                del iterator
                gc.collect()
        median = {name: statistics.median(values) for name, values in rates.items()}
        for name, value in median.items():
            report.add(name, value, ratio=value / median["decode limit"])
        report.key("ratio_to_decode_limit", median["jpeg: MixedStream"] / median["decode limit"])
        for kind in ("jpeg", "pixels"):
            best = max(v for name, v in median.items() if name.startswith(f"{kind}:") and "MixedStream" not in name)
            report.key(f"{kind}_ratio_to_best_peer", median[f"{kind}: MixedStream"] / best)
        report.key("pixels_best_round", max(rates["pixels: MixedStream"]))
        memory_growth(packed, long, report)
        report.finish(options.json)


if __name__ == "__main__":
    main()
