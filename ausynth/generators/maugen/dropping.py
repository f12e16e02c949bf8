"""Which conditions a training sample goes without, so that guidance and label reading have what to compare with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ausynth.errors import ConfigurationError

__all__ = ["Dropping", "Drops"]


@dataclass(frozen=True)
class Drops:
    """What is dropped: (B,) bool each."""

    text: Tensor
    identity: Tensor
    aus: Tensor


@dataclass(frozen=True)
class Dropping:
    """[C] How often conditions are dropped: each alone, all together, and at low noise the expression.

    At low noise the picture itself shows the expression. A label decoder that is always told what was asked for learns
    to echo it there; one that often is not told learns to look, and its labels are read without telling it.

    >>> Dropping(text=0).text
    0

    Attributes:
        text: share of samples without their prompt.
        identity: share without their exemplar.
        aus: share without AU tokens.
        everything: share without any of them.
        expression: share, among samples at times below `below`, without both prompt and AU tokens.
        below: that time, 0-1.
    """

    text: float = 0.1
    identity: float = 0.1
    aus: float = 0.1
    everything: float = 0.05
    expression: float = 0.7
    below: float = 0.35

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ConfigurationError(f"dropping {name}={value!r}", expected="a share from 0 to 1")

    def draw(self, uniform: Tensor, times: Tensor) -> Drops:
        """Return what is dropped.

        Args:
            uniform: (B, 5), uniform in [0, 1).
            times: (B,), 0-1.
        """
        all_B = uniform[:, 3] < self.everything
        unsaid_B = ((uniform[:, 4] < self.expression) & (times < self.below)) | all_B
        return Drops(
            text=(uniform[:, 0] < self.text) | unsaid_B,
            identity=(uniform[:, 1] < self.identity) | all_B,
            aus=(uniform[:, 2] < self.aus) | unsaid_B,
        )
