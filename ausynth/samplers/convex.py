"""Minimising a smooth convex function of many variables."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from ausynth.samplers.statistics import Doubles

__all__ = ["minimise"]


def minimise(
    objective: Callable[[Doubles], tuple[float, Doubles]], start: Doubles, *, gradient: float, steps: int
) -> tuple[Doubles, int, float]:
    """Return where the objective is least (by L-BFGS), after how many steps, and the largest derivative there.

    Args:
        objective: point -> value and gradient.
        start: (P,) where to begin.
        gradient: the largest partial derivative at which to stop.
        steps: how many at most.
    """
    from scipy.optimize import minimize

    with _one_thread():
        # Progress is judged by the gradient alone, which is what is reported: a flat stretch is no end.
        solution = minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": steps, "maxfun": 2 * steps, "maxcor": 20, "gtol": gradient, "ftol": 1e-14},
        )
    return np.asarray(solution.x, dtype=np.float64), int(solution.nit), float(np.abs(solution.jac).max(initial=0))


def _one_thread() -> contextlib.AbstractContextManager[object]:
    """Return a context in which BLAS has one thread.

    For small matrices BLAS starts threads that wait for one another without sleeping: on a busy machine 15 ms become
    100.
    """
    from threadpoolctl import threadpool_limits

    context: contextlib.AbstractContextManager[object] = threadpool_limits(1)
    return context
