"""The lexical shortlist: which target tokens are worth scoring, given the source tokens."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..errors import ModelFormatError


class Shortlist:
    """For each source token, the target tokens that a word aligner saw it translated to."""

    def __init__(
        self, offsets: np.ndarray, ids: np.ndarray, *, first: int, vocab_sizes: tuple[int, int]
    ):
        """
        Args:
            offsets: (source vocabulary + 1,); token i's are ids[offsets[i] : offsets[i + 1]].
            ids: target tokens.
            first: the tokens 0 … first − 1, the most frequent ones, are always candidates.
            vocab_sizes: of the source and of the target language.

        Raises:
            ModelFormatError: the arrays contradict each other.
        """
        source_size, target_size = vocab_sizes
        if not (offsets.ndim == ids.ndim == 1 and source_size < len(offsets)):
            raise ModelFormatError("the shortlist is for a smaller vocabulary")
        if offsets[0] != 0 or offsets[-1] != len(ids) or np.any(offsets[1:] < offsets[:-1]):
            raise ModelFormatError("the shortlist's offsets do not span its ids in order")
        if not 0 < first <= target_size or ids.max(initial=0) >= target_size:
            raise ModelFormatError(f"the shortlist leaves the vocabulary of {target_size} tokens")
        self._offsets = offsets
        self._ids = ids
        self._first = np.arange(first)
        self._vocab_size = target_size

    def candidates(self, tokens: Iterable[int]) -> np.ndarray:
        """Target tokens to score for these source tokens, ascending, int64.

        As in Marian, whose 8-bit products want a multiple of eight columns, the next most
        frequent tokens fill the last eight. Now and then one of them wins.
        """
        offsets, first = self._offsets, len(self._first)
        lists = [self._ids[offsets[token] : offsets[token + 1]] for token in set(tokens)]
        found = np.unique(np.concatenate([self._first, *lists]))
        if short := -len(found) % 8:
            following = np.arange(first, min(first + len(found) + short, self._vocab_size))
            fill = np.setdiff1d(following, found, assume_unique=True)[:short]
            found = np.union1d(found, fill)
        return found
