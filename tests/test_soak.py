"""The soak, for as long as a test may take; `python tests/soak.py` runs 2000 sentences."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from soak import FAULTS, ROUND
from support import figures


@pytest.mark.slow
def test_every_fault_costs_one_sentence_at_most() -> None:
    """In a process of its own, whose memory, threads and files are its alone."""
    script = Path(__file__).parent / "soak.py"
    sentences = 2 * len(FAULTS) * ROUND
    command = [sys.executable, str(script), "--sentences", str(sentences), "--pace", "16"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.endswith("0 wrong")
    figures.append(f"soak: {last}")
