"""Turning a model's steps into token sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import mlx.core as mx
import numpy as np

State = TypeVar("State")


def greedy(
    step: Callable[[mx.array | None, State], tuple[mx.array, State]],
    state: State,
    *,
    eos_token_id: int,
    limits: Sequence[int],
) -> Iterator[list[list[int]]]:
    """Decode a batch, the most likely token each time.

    The graph of a step is built while the step before it is computed, so that Python's time is
    hidden; the price is one step too many at the end.

    Args:
        step: (tokens (batch,) of the step before, or None at the start; state) → (tokens, state).
        state: arrays, or a tree of them, before the first step.
        eos_token_id: ends a sequence, and is not part of it.
        limits: the longest that each sequence may become.

    Yields:
        The sequences so far, after each step. The lists are the same ones, growing.
    """
    sequences: list[list[int]] = [[] for _ in limits]
    going = {row for row, limit in enumerate(limits) if limit > 0}
    last = max(limits, default=0)
    tokens, state = step(None, state)
    mx.async_eval(tokens, state)
    for length in range(1, last + 1):
        if length < last:
            following, state = step(tokens, state)
            mx.async_eval(following, state)
        for row, token in enumerate(np.array(tokens).tolist()):
            if row not in going:
                continue
            if token != eos_token_id:
                sequences[row].append(token)
            if token == eos_token_id or length == limits[row]:
                going.remove(row)
        yield sequences
        if not going:
            return
        tokens = following
