"""Train an AU detector on a mixed stream, test it on the people whom the stream never showed.

    python examples/train.py --disfa-root DISFA --ratio 0.5 --hold-out P1 --steps 500

Without DISFA, try it on practice data: `ausynth simulate disfa practice`, then --disfa-root practice.
A small network from scratch, so the scores mean little; what counts is how a stream is used.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torchvision.models import resnet18

import ausynth


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--disfa-root", help="default: AUSYNTH_DISFA_ROOT")
    parser.add_argument("--ratio", type=float, default=0.5, help="share of synthetic faces")
    parser.add_argument("--hold-out", default="P1", help="the part that is tested on")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=112)
    return parser.parse_args()


def test_batches(source: ausynth.Source, aus: tuple[int, ...], size: int) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
    """Yield pictures and occurrences of a source in order, once."""
    occurrence_NA = source.labels.project(aus).occurrence
    for rows in np.array_split(np.arange(len(source)), -(-len(source) // 256)):
        images_BHWC = np.empty((len(rows), size, size, 3), np.uint8)
        source.read(rows, images_BHWC)
        yield torch.from_numpy(images_BHWC).permute(0, 3, 1, 2), occurrence_NA[rows]


def prepared(images_BCHW: torch.Tensor, device: str) -> torch.Tensor:
    """Return uint8 pictures as the network wants them."""
    return images_BCHW.to(device, non_blocking=True).float().div(127.5).sub(1)


def main() -> None:
    options = arguments()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    stream = ausynth.MixedStream(
        real="disfa",
        root=options.disfa_root,
        ratio=options.ratio,
        hold_out=options.hold_out,
        batch_size=options.batch_size,
        steps_per_epoch=options.steps,
        image_size=options.image_size,
        device=device,
    )
    held_out = ausynth.open_source("disfa", options.disfa_root, keep=options.hold_out)
    network = resnet18(num_classes=len(stream.aus)).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-4)
    for batch in stream:
        logits = network(prepared(batch["image"], device))
        # An AU that was not coded says nothing: it takes no part in the loss.
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits[batch["mask"]], batch["occurrence"][batch["mask"]].to(logits)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if batch["step"] % 50 == 0:
            print(f"step {batch['step']}: loss {loss.item():.3f}", flush=True)
    network.eval()
    hits = np.zeros((3, len(stream.aus)))
    with torch.inference_mode():
        for images, occurrence in test_batches(held_out, stream.aus, options.image_size):
            said = network(prepared(images, device)).cpu().numpy() > 0
            is_true = occurrence == 1
            hits += [(said & is_true).sum(0), (said & (occurrence == 0)).sum(0), (~said & is_true).sum(0)]
    f1 = 2 * hits[0] / np.maximum(2 * hits[0] + hits[1] + hits[2], 1)
    for au, score, positives in zip(stream.aus, f1, hits[0] + hits[2], strict=True):
        print(f"{ausynth.facs.ACTION_UNITS[au]!s:32} F1 {score:.3f} ({positives:.0f} positives)")
    print(f"mean F1 at 0.5 on {len(held_out):,} frames of part {options.hold_out}: {f1.mean():.3f}")


if __name__ == "__main__":
    main()
