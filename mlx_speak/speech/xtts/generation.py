"""Audio codes sampled one by one, with the state that the decoder makes sound of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import mlx.core as mx

from ...nn.sampling import penalize_repetition, warp
from .gpt import GPT, Context


@dataclass(frozen=True)
class Sampling:
    """How codes are drawn; the defaults are XTTS v2's. `top_k` 1 draws the likeliest."""

    temperature: float = 0.75
    top_k: int = 50
    top_p: float = 0.85
    repetition_penalty: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, good, wanted in (
            ("temperature", self.temperature > 0, "above 0"),
            ("top_k", self.top_k >= 0, "0 (all) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0"),
        ):
            if not good:
                raise ValueError(f"{name} is {getattr(self, name)}: expected {wanted}")

    def scores(self, logits: mx.array, before: mx.array) -> mx.array:
        """What the next code is sampled by.

        Args:
            logits: (batch, audio_tokens).
            before: (batch, length), every token that counts as repeated.

        Returns:
            (batch, audio_tokens) float32, minus infinity for what cannot come.
        """
        return warp(self.penalize(logits, before), self.temperature, self.top_k, self.top_p)

    def penalize(self, logits: mx.array, before: mx.array) -> mx.array:
        """`scores` before the three that leave the likeliest where it is."""
        return penalize_repetition(logits.astype(mx.float32), before, self.repetition_penalty)


class Step(NamedTuple):
    """One code."""

    code: int
    state: mx.array
    """(1, 1, dims), what predicted it."""


def generate(
    gpt: GPT,
    text_ids: mx.array,
    context: Context,
    sampling: Sampling,
    *,
    start: int,
    stop: int,
    limit: int,
) -> Iterator[Step]:
    """Sample codes until the stop token, which is the last that is yielded, or the limit.

    While a code is looked at, the next one is computed: a reader that has something else to do
    before the next step should do it between two of them.

    Args:
        text_ids: (1, tokens), START and STOP included.
        context: of a speaker's latents.
        start, stop: the audio tokens around the codes.
        limit: of codes.
    """
    key = mx.random.key(sampling.seed)
    # Coqui fills the places of latents and text with the token 1, which so counts as repeated.
    before = mx.array([[1, start]])
    state, read = gpt.begin(text_ids, mx.array([[start]]), context)
    for count in range(1, limit + 1):
        logits = gpt.logits(state[:, -1])
        if sampling.top_k == 1:
            code = mx.argmax(sampling.penalize(logits, before), axis=-1, keepdims=True)
        else:
            key, draw = mx.random.split(key)
            code = mx.random.categorical(sampling.scores(logits, before), key=draw)[:, None]
        mx.async_eval(code, state)
        value = int(cast(int, code.item()))
        yield Step(value, state)
        if value == stop or count == limit:
            return
        before = mx.concatenate([before, code.astype(before.dtype)], axis=1)
        state = read(code)
