"""Which token is the best, and whether it is however the sums that scored it were taken.

A product of several rows takes its sums in another order than that of one row, so a pass over
several tokens gives other last bits than single steps do. A token found so is *certain* where it
is alone within a slack of the best score. What that is worth:

- float32, states by single steps, only their products with the table taken together (vocabulary
  restriction without a draft): the slack exceeds the worst that any order of summation can do
  (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1). A certain token is the
  one that single steps choose, without exception.
- float32, states of a pass over several tokens (drafts): the same, as long as those states differ
  from single steps' by less than 2⁻¹⁵ (3·10⁻⁵) of their length. No useful bound is known for a
  deep network; over 2,700 tokens of Bergamot they differed by 5·10⁻⁶ at most, through NLLB's 12
  and 24 layers with random weights by 2·10⁻⁶, and mostly in directions that matter little:
  Bergamot's scores differed by a seventieth of the slack.
- Half precision, quantised tables, and float32 on GPUs that multiply with eleven bits (TF32): the
  slack covers a unit roundoff of the states' and rows' product, and the rounding of the scores.
  Bergamot with float32 sums, rounded after each product, had its scores differ by 1.1 roundoffs
  at most, half of that slack. This is measured, not proved.

A token that is not certain costs a look, no more: `drafting` chooses it as single steps do. Of
Bergamot's tokens that is 0.1 % in float32, 1 % in float16, 5 % in bfloat16.
"""

from __future__ import annotations

import os

import mlx.core as mx

from ..kernels import argmax


def choose(
    logits: mx.array, hidden: mx.array, longest: mx.array | float
) -> tuple[mx.array, mx.array]:
    """The best tokens, and which of them are certain.

    Args:
        logits: (count, vocab_size), products of the hidden states and the output table.
        hidden: (count, dims).
        longest: the length of the table's longest row.

    Returns:
        Tokens (count,), the lowest of equals; and (count,), True where the token is certain,
        which it never is among NaN.
    """
    unit = _roundoff(hidden.dtype)
    # Two scores are compared, each computed twice: in another order of summation, which changes a
    # score by 2γ|h||w| at most (γ = dims · 2⁻²⁴), and of another state, by ρ|h||w|.
    relative = 4 * hidden.shape[-1] * 2**-24 + 2 * max(unit, 2**-15)
    lengths = mx.linalg.norm(hidden.astype(mx.float32), axis=-1) * longest
    top = mx.max(logits, axis=-1).astype(mx.float32)
    slack = relative * lengths + 4 * unit * mx.abs(top)
    rivals = mx.sum(logits >= (top - slack)[:, None], axis=-1)
    return argmax(logits), rivals == 1


def _roundoff(dtype: mx.Dtype) -> float:
    """The unit roundoff of products, whose sums are float32."""
    on_gpu = mx.default_device().type == mx.DeviceType.gpu
    if dtype == mx.float32 and on_gpu and os.environ.get("MLX_ENABLE_TF32", "1") != "0":
        return 2**-11
    return {mx.bfloat16: 2**-9, mx.float16: 2**-11}.get(dtype, 2**-24)
