"""Bugs to plant in the kernels, one file for each side of the house.

A test that cannot fail proves nothing: `tests/kernels/test_planted_bugs.py` changes one place of a
kernel at a time and expects the tests to notice.
"""

from .bug import BARRIER, RACE, READ, WRITE, Bug
from .vocoder import VOCODER

__all__ = ["BARRIER", "RACE", "READ", "VOCODER", "WRITE", "Bug"]
