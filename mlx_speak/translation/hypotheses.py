"""What a search knows of one sentence: which hypotheses run on, which are finished, when to stop.

Plain Python without a model: what the decoder finds is handed in step by step. The rules are those
of transformers' `generate` (5.23; beams: `_beam_search`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

EarlyStopping = bool | Literal["never"]


class Hypothesis(NamedTuple):
    """A translation, or the beginning of one."""

    tokens: list[int]
    """Without the prompt; the end token is the last one of a translation that came to its end."""
    score: float
    """The sum of its log-probabilities; once it is finished, divided by length**length_penalty."""


@dataclass
class GreedyHypothesis:
    """The one hypothesis that greedy search has of a sentence."""

    limit: int
    """Tokens that it may have at most."""
    eos_token_id: int
    prompt_length: int = 0
    """Forced tokens before it, which count for its length."""
    length_penalty: float = 1.0
    certain: list[int] = field(default_factory=list)
    """Its tokens, without the end token; always the same list, growing."""
    score: float = 0.0
    ended: bool = False

    @property
    def done(self) -> bool:
        return self.ended or len(self.certain) >= self.limit

    @property
    def best(self) -> list[Hypothesis]:
        tokens = [*self.certain, self.eos_token_id] if self.ended else self.certain
        length = self.prompt_length + len(tokens)
        return [Hypothesis(tokens, self.score / length**self.length_penalty)]

    def absorb(self, token: int, log_probability: float = 0.0) -> None:
        """Take one more token."""
        self.score += log_probability
        self.ended = token == self.eos_token_id
        if not self.ended:
            self.certain.append(token)


@dataclass
class BeamHypotheses:
    """The hypotheses that beam search has of a sentence."""

    num_beams: int
    limit: int
    """Tokens that a hypothesis may have at most."""
    eos_token_id: int
    prompt_length: int = 0
    """Forced tokens before the hypotheses, which count for their length."""
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False
    wanted: int = 1
    """How many of the best translations are asked for."""
    running: list[Hypothesis] = field(default_factory=lambda: [Hypothesis([], 0.0)])
    """The best that go on, in the order in which the decoder has them."""
    finished: list[Hypothesis] = field(default_factory=list)
    """The best that are finished, best first; at most `num_beams`."""
    done: bool = False

    def __post_init__(self) -> None:
        if self.limit == 0:
            self._finish(self.running)

    def absorb(
        self, scores: Iterable[float], parents: Iterable[int], tokens: Iterable[int]
    ) -> None:
        """Take one more step.

        Args:
            scores: sums of log-probabilities of the 2 · num_beams best continuations, best first;
                minus infinity where there are fewer.
            parents: the running hypothesis that each of them continues.
            tokens: by which token.
        """
        running: list[Hypothesis] = []
        ended: list[Hypothesis] = []
        for rank, (score, parent, token) in enumerate(zip(scores, parents, tokens, strict=True)):
            if score == -float("inf"):
                break
            longer = Hypothesis([*self.running[parent].tokens, token], score)
            if token != self.eos_token_id and len(longer.tokens) < self.limit:
                if len(running) < self.num_beams:
                    running.append(longer)
            elif rank < self.num_beams:  # what ends further down only made room for others
                ended.append(longer)
        if not running and not ended and not self.finished:
            ended = self.running  # everything was forbidden: it ends as it stands
        self.running = running
        self._finish(ended)

    @property
    def certain(self) -> list[int]:
        """The tokens that the best translation begins with, whatever comes; in the end all of it.

        It is the best of the finished ones, or goes on from one that runs and may still beat them.
        """
        possible = [hypothesis.tokens for hypothesis in self.finished[:1]]
        if not self.done:
            possible += [h.tokens for h in self.running if self._may_beat(h, 1)]
        tokens = _common_prefix(possible)
        return tokens[:-1] if tokens[-1:] == [self.eos_token_id] else tokens

    @property
    def best(self) -> list[Hypothesis]:
        """The translations asked for, once it is done.

        Where there are not as many, because the first token is the last, it comes again with
        transformers' score for a hypothesis that is none.
        """
        nothing = Hypothesis(self.finished[0].tokens, -1e9)
        return (self.finished + [nothing] * self.wanted)[: self.wanted]

    def _finish(self, ended: list[Hypothesis]) -> None:
        self.finished += [
            Hypothesis(tokens, score / self._penalty(len(tokens))) for tokens, score in ended
        ]
        self.finished.sort(key=lambda hypothesis: -hypothesis.score)
        del self.finished[self.num_beams :]
        self.done = self._is_done()

    def _is_done(self) -> bool:
        if not self.running or len(self.running[0].tokens) == self.limit:
            return True
        if not any(self._may_beat(hypothesis, self.wanted) for hypothesis in self.running):
            return True  # transformers goes on, to the same result
        if len(self.finished) < self.num_beams:
            return False
        if self.early_stopping is True:
            return True
        # A guess at what the best running one may come to.
        best = self.running[0]
        late = self.early_stopping == "never" and self.length_penalty > 0
        length = self.limit if late else len(best.tokens)
        return best.score / self._penalty(length) <= self.finished[-1].score

    def _may_beat(self, hypothesis: Hypothesis, rank: int) -> bool:
        """Whether going on it may come before the finished one of a rank, counted from 1.

        Its sum only falls, so it comes to no more than its sum now at the most favourable length.
        """
        if len(self.finished) < rank:
            return True
        length = self.limit if self.length_penalty > 0 else len(hypothesis.tokens) + 1
        return hypothesis.score / self._penalty(length) > self.finished[rank - 1].score

    def _penalty(self, tokens: int) -> float:
        return (self.prompt_length + tokens) ** self.length_penalty


def _common_prefix(sequences: Sequence[list[int]]) -> list[int]:
    """What all begin with: what the first and the last of them in their order begin with."""
    first, last = min(sequences), max(sequences)
    for i, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return first[:i]
    return first
