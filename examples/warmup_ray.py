"""Fill the cache of a stream with Ray: on this machine, or on all machines of a cluster.

    python examples/warmup_ray.py --cache faces --count 10000
    python examples/warmup_ray.py --cache /shared/faces --count 1000000 --address auto --gpus 1

Training takes it as a pool, whatever its real set and ratio: MixedStream(..., synthetic="faces").
The cache must lie where every machine sees it under the same path. Run it again to go on after an interruption; what
is stored is not made again. `ausynth warmup --executor ray` does the same from the command line.
"""

from __future__ import annotations

import argparse
import sys

from ausynth.jobs import open_executor
from ausynth.jobs.options import StreamOptions
from ausynth.jobs.warmup import Standing, Warmup


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", required=True, help="folder of the cache")
    parser.add_argument("--count", type=int, required=True, help="synthetic samples")
    parser.add_argument("--generator", default="rendered")
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--aus", default="disfa-8", help="label space of the stream that will use the cache")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--address", help="of a running cluster; without, Ray is started on this machine")
    parser.add_argument("--workers", type=int, help="default: one for each CPU, or for each GPU with --gpus")
    parser.add_argument("--gpus", type=float, default=0, help="that each worker holds; 0.5 lets two share one")
    return parser.parse_args()


def show(standing: Standing) -> None:
    """Print each shard that has ended."""
    if standing.ended is not None:
        outcome = standing.ended
        what = outcome.error or f"{outcome.value} samples"
        print(f"shard {outcome.task.number}: {what}. {standing.made:,} of {standing.missing:,} are made", flush=True)


def main() -> int:
    options = arguments()
    # What is made does not depend on real data: none need be on the cluster. The stream that trains has the same
    # generator, image size, label space and seed.
    stream = StreamOptions(
        {
            "real": None,
            "ratio": 1,
            "generator": options.generator,
            "image_size": options.image_size,
            "aus": options.aus,
            "seed": options.seed,
            "cache": options.cache,
        }
    )
    with open_executor("ray", options.workers, address=options.address, gpus=options.gpus) as executor:
        job = Warmup(stream, count=options.count, workers=executor.workers)
        print(f"{job.missing:,} of {job.samples:,} samples are to be made, by {executor.workers} workers")
        warmed = job.run(executor, show)
    print(f"made {warmed.made:,}, found {warmed.found:,}, failed shards: {len(warmed.failed)}")
    return 0 if warmed.complete else 1


if __name__ == "__main__":
    sys.exit(main())
