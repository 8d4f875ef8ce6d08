"""The targets of a batch as the decoder has them, and the steps that continue them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import mlx.core as mx
import numpy as np

from ..kernels import argmax, top_k
from ..nn.cache import KeyValueCache
from .nllb_model import NLLB, Caches, Memory


@dataclass(frozen=True)
class Targets:
    """What is on the device while a batch is decoded.

    The beams of a sentence share one cache in which every token that was ever tried keeps its
    slots, and one memory of the source. When beams take over from others, only `ancestry` changes.
    """

    memory: Memory
    caches: Caches
    input_ids: mx.array
    """(batch, beams, length), from the start token on; the last one has not been decoded yet."""
    scores: mx.array | None = None
    """(batch, beams), sums of log-probabilities; None before beams part."""
    ancestry: mx.array | None = None
    """(batch, 1, beams, slots), which slots of the caches hold each beam's tokens; likewise."""

    def select(self, rows: mx.array) -> Targets:
        """The targets of some sentences of the batch, (rows,)."""
        return Targets(
            self.memory.select(rows),
            [cache.select(rows) for cache in self.caches],
            self.input_ids[rows],
            None if self.scores is None else self.scores[rows],
            None if self.ancestry is None else self.ancestry[rows],
        )

    def compact(self) -> Targets:
        """The same targets without the slots of tokens that no beam comes from any more.

        It waits for the device, and copies what stays; so it stays as it is where most is in use.
        """
        if self.ancestry is None:
            return self
        size = self.ancestry.shape[-1]
        used = self.ancestry.any(axis=2, keepdims=True)
        keep = int(np.array(used.sum(axis=-1)).max())
        if 2 * keep > size:
            return self
        places = mx.arange(size)
        kept = mx.sort(mx.where(used, places, places + size))[..., :keep] % size
        slots = kept.swapaxes(2, 3)
        caches = [
            KeyValueCache(mx.take_along_axis(cache.keys_values, slots[None], axis=3), keep)
            for cache in self.caches
        ]
        return replace(
            self, caches=caches, ancestry=mx.take_along_axis(self.ancestry, kept, axis=3)
        )


# Tokens after which slots out of use are looked for. Beams soon have common ancestors, so that few
# of the slots are in use after that many; most sentences are shorter.
_COMPACT_EVERY = 64

Process: TypeAlias = Callable[[mx.array, mx.array], mx.array]
"""Scores (..., vocab_size) of the next token and input_ids (..., length) → other scores."""

Step: TypeAlias = Callable[[Targets], tuple[list[mx.array], Targets]]
"""Targets → what was found, a row for each sentence, and the targets after it."""


def greedy_step(model: NLLB, process: Process, *, scored: bool) -> Step:
    """Continue every target by its likeliest token.

    Finds: tokens (batch,) and, where `scored`, their log-probabilities (batch,).
    """

    def step(targets: Targets) -> tuple[list[mx.array], Targets]:
        ids = targets.input_ids
        decoded = targets.caches[0].length
        hidden, caches = model.decode(ids[:, 0, decoded:], targets.memory, targets.caches)
        scores = process(model.logits(hidden[:, -1:]).astype(mx.float32), ids)
        tokens = argmax(scores)[..., None]
        found = [tokens[:, 0, 0]]
        if scored:
            best = mx.take_along_axis(scores, tokens, axis=-1)
            found.append((best - mx.logsumexp(scores, axis=-1, keepdims=True))[:, 0, 0])
        ids = mx.concatenate([ids, tokens.astype(ids.dtype)], axis=-1)
        return found, replace(targets, caches=caches, input_ids=ids)

    return step


def beam_step(model: NLLB, process: Process, num_beams: int) -> Step:
    """Continue the beams of every sentence by the best of all their continuations.

    Finds, best first: scores, parents (beams) and tokens of the 2 · num_beams best continuations,
    each (batch, 2 · num_beams). At most half of them end, so that as many as there are beams go on.
    """

    def step(targets: Targets) -> tuple[list[mx.array], Targets]:
        ids = targets.input_ids
        batch, beams, length = ids.shape
        if length % _COMPACT_EVERY == 0:
            targets = targets.compact()
        if targets.ancestry is None or targets.scores is None:  # the prompt, once for all beams
            hidden, caches = model.decode(ids[:, 0], targets.memory, targets.caches)
            hidden, before = hidden[:, -1:], mx.zeros((batch, 1))
            ancestry = mx.ones((batch, 1, 1, length), mx.bool_)
        else:
            itself = mx.broadcast_to(mx.eye(beams, dtype=mx.bool_), (batch, 1, beams, beams))
            ancestry = mx.concatenate([targets.ancestry, itself], axis=-1)
            before = targets.scores
            hidden, caches = model.decode(
                ids[..., -1], targets.memory, targets.caches, position=length - 1, mask=ancestry
            )
        logits = model.logits(hidden).astype(mx.float32)
        log_probs = process(logits - mx.logsumexp(logits, axis=-1, keepdims=True), ids)
        scores, parents, tokens = _best_continuations(log_probs, before, 2 * num_beams)

        # In their order, those that do not end.
        places = mx.arange(2 * num_beams)
        ends = tokens == model.config.eos_token_id
        onward = mx.argsort(places + ends * len(places), axis=-1)[:, :num_beams]
        parent, token, score = (
            mx.take_along_axis(x, onward, axis=-1) for x in (parents, tokens, scores)
        )
        ids = mx.concatenate(
            [mx.take_along_axis(ids, parent[..., None], axis=1), token[..., None]], axis=-1
        )
        ancestry = mx.take_along_axis(ancestry, parent[:, None, :, None], axis=2)
        return [scores, parents, tokens], Targets(targets.memory, caches, ids, score, ancestry)

    return step


def _best_continuations(
    log_probs: mx.array, before: mx.array, count: int
) -> tuple[mx.array, mx.array, mx.array]:
    """Scores, beams and tokens, each (batch, count), best first, of the best continuations.

    Args:
        log_probs: (batch, beams, vocab_size).
        before: (batch, beams), the beams' scores.
        count: how many; where there are fewer, minus infinity fills up.
    """
    best, tokens = top_k(log_probs, min(count, log_probs.shape[-1]))
    # Rounding may lift a log-probability above 0, but a score must not grow.
    scores = before[..., None] + mx.minimum(best, 0)
    parents = mx.broadcast_to(mx.arange(scores.shape[1])[:, None], scores.shape)
    found = [x.flatten(1) for x in (scores, parents.astype(mx.int32), tokens.astype(mx.int32))]
    if (short := count - found[0].shape[1]) > 0:
        fill = (-mx.inf, 0, 0)
        found = [
            mx.pad(x, [(0, 0), (0, short)], constant_values=value)
            for x, value in zip(found, fill, strict=True)
        ]
    order = mx.argsort(-found[0], axis=-1)[:, :count]
    scores, parents, tokens = (mx.take_along_axis(x, order, axis=-1) for x in found)
    return scores, parents, tokens
