"""Scores of the next token: what forbids or penalises some, and which are the best.

Everything runs on the device, so that a vocabulary of scores never crosses to the host.
"""

from __future__ import annotations

import mlx.core as mx

from ..kernels import top_k


def penalize_repetition(scores: mx.array, input_ids: mx.array, penalty: float) -> mx.array:
    """Make the tokens that a sequence already has less likely, each of them once.

    Negative scores are multiplied by the penalty and positive ones divided by it, as in Keskar et
    al., "CTRL" (2019), and in transformers' `repetition_penalty`.

    Args:
        scores: (..., vocab_size), of logits or of log-probabilities.
        input_ids: (..., length), the sequences so far.
        penalty: above 1 discourages, between 0 and 1 encourages.

    Returns:
        (..., vocab_size).
    """
    old = mx.take_along_axis(scores, input_ids, axis=-1)
    new = mx.where(old < 0, old * penalty, old / penalty)
    return mx.put_along_axis(scores, input_ids, new, axis=-1)


def ban_repeated_ngrams(scores: mx.array, input_ids: mx.array, size: int) -> mx.array:
    """Forbid every token that would complete an n-gram the sequence already has.

    Paulus et al., "A Deep Reinforced Model for Abstractive Summarization" (2017); transformers'
    `no_repeat_ngram_size`.

    Args:
        scores: (..., vocab_size).
        input_ids: (..., length), the sequences so far.
        size: how many tokens make an n-gram.

    Returns:
        (..., vocab_size), minus infinity where forbidden.
    """
    length = input_ids.shape[-1]
    windows = length - size + 1
    if windows < 1:
        return scores
    ids = input_ids.reshape(-1, length)
    last = ids[:, size - 1 :]
    banned = mx.full(last.shape, -mx.inf)
    for i in range(size - 1):  # a window is completed again if it begins as the sequence ends
        same = ids[:, i : i + windows] == ids[:, i + windows, None]
        banned = mx.where(same, banned, mx.inf)
    flat = scores.reshape(len(ids), -1)
    # The minimum, since a token may end several windows of which only one forbids it.
    flat = flat.at[mx.arange(len(ids))[:, None], last].minimum(banned.astype(scores.dtype))
    return flat.reshape(scores.shape)


def warp(scores: mx.array, temperature: float, k: int, p: float) -> mx.array:
    """What transformers' temperature, top-k and top-p do to scores, in its order.

    Args:
        scores: (..., vocab_size) logits.
        temperature: that they are divided by, above 0.
        k: how many of the best stay, 0 for all. Those that equal the last of them stay too.
        p: stay the fewest of the best whose probabilities sum to this much; the best stays anyway.

    Returns:
        (..., vocab_size), minus infinity where a token is not to be sampled.
    """
    scores = scores / temperature
    if 0 < k < scores.shape[-1]:
        best, _ = top_k(scores, k)
        scores = mx.where(scores < best[..., -1:], -mx.inf, scores)
    if p < 1:
        order = mx.argsort(scores, axis=-1)
        probabilities = mx.softmax(mx.take_along_axis(scores, order, axis=-1), axis=-1)
        removed = mx.cumsum(probabilities, axis=-1) <= 1 - p
        removed = mx.concatenate([removed[..., :-1], mx.zeros_like(removed[..., -1:])], axis=-1)
        removed = mx.put_along_axis(mx.zeros_like(removed), order, removed, axis=-1)
        scores = mx.where(removed, -mx.inf, scores)
    return scores
