"""Where an unfinished text can be parted."""

from __future__ import annotations

import pytest

from mlx_speak.text.clauses import clauses_end


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("However, two of the tests, I think", "However, two of the tests, "),
        ("However, two", ""),  # too short to be spoken alone
        ("Before you change anything, ", ""),  # nothing follows yet: it may go on with a quotation
        ("Before you change anything, a", "Before you change anything, "),
        ("It takes 1,5 seconds and 10:30 minutes", ""),
        ("まず、設定を確認します、次に", "まず、設定を確認します、"),
        ("まず、設定", ""),
        ("", ""),
    ],
)
def test_the_last_complete_clause(text: str, clauses: str) -> None:
    assert text[: clauses_end(text, 18)] == clauses
