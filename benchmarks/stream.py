"""How close does MixedStream come to the decoder, and how do other loaders do on the same files?

    python benchmarks/stream.py [--quick] [--json PATH]       (peers: pip install 'ausynth[bench]')

20,000 JPEG faces of 112 px in two labelled folders, mixed half and half, batches of 64: images a second, median of five
interleaved rounds, two threads (or worker processes, where a loader is made for those). The limit is two threads that
read and decode the same files in the same random order and do nothing else. Then, for each loader, what a training run
relies on: is the mixture exact in every batch, is a second run equal, does a run that stopped after 12 batches go on
without losing or repeating a sample, with as many, fewer and more workers: read off numbers in the pictures themselves.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from common import Report, arguments, rate
from peers import BATCH, Files, Grain, Mixed, Peer, TorchdataNodes, TorchIterable, TorchMap, numbers, write_faces

WORKERS = 2


def decode_limit(files: Files, images: int) -> float:
    """Return images a second of threads that only read and decode, each its own share."""
    order = np.random.default_rng(0).permutation(len(files))[:images].tolist()

    def share(start: int) -> None:
        for key in order[start::WORKERS]:
            files.image(key)

    start = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(share, range(WORKERS)))
    return len(order) / (time.perf_counter() - start)


def exact(peer: Peer, files: Files, workers: int) -> str:
    """Return whether every batch holds as many of the first source as of the second."""
    counts = [int((numbers(batch["image"]) < files.half).sum()) for batch in _take(peer, workers, 40)]
    return "exact" if set(counts) == {BATCH // 2} else f"{min(counts)} to {max(counts)} of {BATCH}"


def rerun(peer: Peer, workers: int) -> str:
    """Return whether a second run gives the same samples in the same order."""
    first, second = ([numbers(batch["image"]).tolist() for batch in _take(peer, workers, 12)] for _ in range(2))
    return "equal" if first == second else "differs"


def resume(peer: Peer, before: int, after: int) -> str:
    """Return how many samples a run that stops after 12 batches and goes on for 12 loses and repeats."""
    whole = [key for batch in _take(peer, before, 24) for key in numbers(batch["image"]).tolist()]
    iterator = peer.open(before)
    seen = list(islice(iterator, 12))
    state = peer.state(seen[-1])
    if state is None:
        return "no state"
    iterator.close()
    try:
        rest = list(islice(peer.open(after, state), 12))
    except Exception as error:  # what a user would meet
        return type(error).__name__
    keys = [key for batch in (*seen, *rest) for key in numbers(batch["image"]).tolist()]
    lost, repeated = len(set(whole) - set(keys)), len(keys) - len(set(keys))
    return f"{lost} lost, {repeated} repeated" + ("" if keys == whole else ", another order")


def _take(peer: Peer, workers: int, count: int) -> list[dict[str, Any]]:
    iterator = peer.open(workers)
    batches = list(islice(iterator, count))
    iterator.close()
    return batches


def main() -> None:
    options = arguments(__doc__)
    count, batches, rounds = (2_000, 10, 2) if options.quick else (20_000, 150, 5)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        sources = write_faces(Path(folder), count)
        files = Files(sources)
        mixed = Mixed(sources, 0, "MixedStream, ratio 0")
        half = Mixed(sources, 0.5, "MixedStream, ratio .5, free generator")
        soft = Mixed(sources, 0.5, "the same, balanced", balance="soft")
        processes = Mixed(sources, 0, "MixedStream in DataLoader workers", processes=True)
        peers: list[Peer] = [mixed, half, soft, processes, TorchMap(files), TorchIterable(files), Grain(files)]
        peers.append(TorchdataNodes(files))
        report = Report(f"{WORKERS} workers, batches of {BATCH}, {count:,} JPEG files of 112 px: images a second")
        seen: dict[str, list[float]] = {"decode limit": [], **{peer.name: [] for peer in peers}}
        for _ in range(rounds):
            seen["decode limit"].append(decode_limit(files, batches * BATCH))
            for peer in peers:
                iterator = peer.open(WORKERS)
                seen[peer.name].append(rate(iterator, batches, BATCH))
                iterator.close()
                gc.collect()
        median = {name: statistics.median(values) for name, values in seen.items()}
        for name, value in median.items():
            report.add(name, value, ratio=value / median["decode limit"])
        report.key("ratio_to_decode_limit", median[mixed.name] / median["decode limit"])
        best = max(median[peer.name] for peer in peers if not isinstance(peer, Mixed))
        report.key("ratio_to_best_peer", median[mixed.name] / best)
        checks: dict[str, Callable[[Peer], str]] = {
            "mixture": lambda peer: exact(peer, files, WORKERS),
            "rerun": lambda peer: rerun(peer, WORKERS),
            "resume, 2 workers": lambda peer: resume(peer, 2, 2),
            "resume, 1 worker": lambda peer: resume(peer, 2, 1),
            "resume, 3 workers": lambda peer: resume(peer, 2, 3),
        }
        rows = [(peer.name, *(check(peer) for check in checks.values())) for peer in (mixed, *peers[3:])]
    report.finish(options.json)
    report.words(("what a run relies on", *checks), rows)


if __name__ == "__main__":
    main()
