"""What training minimises: each loss a function, with its equation.

Legend of the shapes: B pictures, A action units, K detectors, D numbers of an embedding. A label that is not known is
NaN and counts for nothing; a loss of which nothing is known is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ausynth.labels import DEFAULT_THRESHOLD

__all__ = [
    "consensus",
    "directional_loss",
    "expression_loss",
    "feature_loss",
    "identity_loss",
    "image_label_loss",
    "masked_denoising_loss",
    "occurrence_loss",
    "text_label_loss",
]


def masked_denoising_loss(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean of |m * target - m * output|^2 over all elements, eq. 10.

    Args:
        output, target: (B, C, h, w): noise, or velocity.
        mask: (B, 1, h, w) in [0, 1], how much each place counts; None counts all.
    """
    difference = target.float() - output.float()
    if mask is not None:
        difference = mask * difference
    return difference.square().mean()


def text_label_loss(intensity: Tensor, asked: Tensor) -> Tensor:
    """Return the mean of |v_gen - v_pre|^2 over the known intensities (B, A), eq. 9."""
    return _mean_where((intensity.float() - asked.nan_to_num(0)).square(), ~asked.isnan())


def occurrence_loss(logits: Tensor, occurrence: Tensor) -> Tensor:
    """Return the cross-entropy of the occurrence head with (B, A) occurrences, 0 or 1.

    [C] Eq. 9 is about intensities alone; the head of occurrences is told apart by what they amount to.
    """
    entropy = F.binary_cross_entropy_with_logits(logits.float(), occurrence.nan_to_num(0), reduction="none")
    return _mean_where(entropy, ~occurrence.isnan())


def consensus(intensities: Tensor, *, least: int = 2, threshold: float = DEFAULT_THRESHOLD) -> tuple[Tensor, Tensor]:
    """Return the occurrence and intensity that at least so many detectors agree on, per AU; NaN where they do not.

    Args:
        intensities: (K, B, A), what each detector sees, 0-5; NaN where it does not know the AU.
        least: [C] how many must say the same; where as many say the contrary, there is no consensus.
        threshold: an AU is there at this intensity or above.

    Returns:
        Occurrence (B, A), and the mean intensity (B, A) of the detectors that agree.
    """
    known = ~intensities.isnan()
    there = known & (intensities >= threshold)
    for_BA, against_BA = there.sum(0), (known & ~there).sum(0)
    agreed_BA = (torch.maximum(for_BA, against_BA) >= least) & (for_BA != against_BA)
    present_BA = for_BA > against_BA
    siding = known & (there == present_BA)
    mean_BA = torch.where(siding, intensities.nan_to_num(0), 0).sum(0) / siding.sum(0).clamp_min(1)
    unknown = intensities.new_tensor(float("nan"))
    return torch.where(agreed_BA, present_BA.to(mean_BA.dtype), unknown), torch.where(agreed_BA, mean_BA, unknown)


def image_label_loss(
    logits: Tensor,
    intensity: Tensor,
    seen: Tensor,
    realism: Tensor | None = None,
    *,
    least: int = 2,
    least_realism: float = 0.5,
) -> Tensor:
    """Return how far the labels are from what detectors see in the picture (section 3.4, image-label alignment).

    Only entries on which the detectors agree count, and only pictures that the discriminator takes for real. What is
    seen is a target: no gradient flows into it.

    Args:
        logits, intensity: (B, A) of the label decoder.
        seen: (K, B, A), the detectors' intensities on the generated pictures.
        realism: (B,), the discriminator's probability that each is real; None accepts all.
        least: detectors that must agree.
        least_realism: [C] from which probability on a picture counts.
    """
    occurrence_BA, mean_BA = consensus(seen.detach(), least=least)
    if realism is not None:
        rejected_B1 = (realism.detach() < least_realism)[:, None]
        occurrence_BA = occurrence_BA.masked_fill(rejected_B1, float("nan"))
        mean_BA = mean_BA.masked_fill(rejected_B1, float("nan"))
    return occurrence_loss(logits, occurrence_BA) + text_label_loss(intensity, mean_BA)


def expression_loss(seen: Tensor, shown: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean of |D(x_0_hat) - v|^2 over the known intensities (B, A).

    [C] A detector D reads the estimated picture, and the gradient runs into the picture. Squared errors of pixels
    hardly feel an expression, which moves few of them: this loss feels nothing else.

    Args:
        seen: what a detector reads off the estimated pictures.
        shown: v, what the true pictures show; NaN where not known or not asked for.
        weight: (B,), how much each picture counts.
    """
    known = ~shown.isnan()
    square_BA = torch.where(known, seen.float() - shown.nan_to_num(0), 0).square()
    return (weight[:, None] * square_BA).sum() / known.sum().clamp_min(1)


def feature_loss(painted: Sequence[Tensor], true: Sequence[Tensor], weight: Tensor) -> Tensor:
    """Return the distance of a detector's features of the estimated pictures and the true ones.

    [C] The mean of |phi(x_0_hat) - phi(x_0)|^2 over each feature map (B, C, h, w), as a share of the mean of
    |phi(x_0)|^2, averaged over maps (after Johnson et al., "Perceptual losses for real-time style transfer", 2016).
    Features of AU detectors change with what tells AUs apart. Shares are of whole maps: unit vectors at each place, as
    in LPIPS, have gradients without bound where a ReLU has left almost nothing.

    Args:
        painted, true: the maps of the estimated and of the true pictures; no gradient flows into the latter.
        weight: (B,), how much each picture counts.
    """
    shares_B = torch.zeros(len(weight), device=weight.device)
    for ours, theirs in zip(painted, true, strict=True):
        target = theirs.float().detach()
        square_B = (ours.float() - target).square().mean((1, 2, 3))
        shares_B = shares_B + square_B / target.square().mean().clamp_min(1e-6)
    return (weight * shares_B).mean() / len(painted)


def directional_loss(generated: Tensor, exemplar: Tensor, prompt: Tensor, neutral: Tensor) -> Tensor:
    """Return the mean of 1 - cos(E_I(x_gen) - E_I(x_ID), E_T(prompt) - E_T(neutral)) (Gal et al., "StyleGAN-NADA").

    Args:
        generated, exemplar: (B, D) image embeddings of a CLIP-like encoder.
        prompt: (B, D) text embeddings of the prompts.
        neutral: (B, D) or (D,), of a text that describes the exemplar.
    """
    shift_BD, said_BD = generated.float() - exemplar.float().detach(), (prompt - neutral).float().detach()
    return (1 - F.cosine_similarity(shift_BD, said_BD, dim=-1)).mean()


def identity_loss(generated: Tensor, exemplar: Tensor) -> Tensor:
    """Return the mean of 1 - cos of face embeddings (B, D), as with ArcFace's (Deng et al. 2019)."""
    return (1 - F.cosine_similarity(generated.float(), exemplar.float().detach(), dim=-1)).mean()


def _mean_where(values: Tensor, known: Tensor) -> Tensor:
    return torch.where(known, values, 0).sum() / known.sum().clamp_min(1)
