"""A stand-in for an accelerator: arithmetic runs on the CPU, and tensors know on which side of the bus they would be.

A GPU refuses to mix its tensors with the CPU's; here the same is refused without one. The device "meta" stands for it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

DEVICE = torch.device("meta")


class Placement(TorchDispatchMode):
    """Within it, what is made with a device or moved to "meta" is on the device, with all that follows from it.

    Copies back to the CPU cannot be seen (they are none): what comes after `.cpu()` should be numpy's.
    """

    def __init__(self) -> None:
        super().__init__()
        self._placed: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self.operations = 0

    def _is_placed(self, tensor: torch.Tensor) -> bool:
        return bool(self._placed.get(tensor, False))

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        self.operations += 1
        named = kwargs.get("device") is not None
        if named:
            kwargs["device"] = torch.device("cpu")
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        sides = {self._is_placed(tensor) for tensor in given if tensor.dim()}
        if len(sides) > 1 and not named:
            shapes = [(tuple(tensor.shape), self._is_placed(tensor)) for tensor in given]
            raise AssertionError(f"{function} mixes the device's tensors with the CPU's: {shapes}")
        if named and given:
            kwargs.pop("device")
            made = given[0].clone() if function is torch.ops.aten._to_copy.default else function(*args, **kwargs)
            if kwargs.get("dtype") is not None:
                made = made.to(kwargs["dtype"])
        else:
            made = function(*args, **kwargs)
        placed = named or True in sides

        def mark(leaf: Any) -> Any:
            if isinstance(leaf, torch.Tensor) and placed:
                self._placed[leaf] = True
            return leaf

        return tree_map(mark, made)
