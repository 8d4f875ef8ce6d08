"""Sound: `Audio` in memory, and outputs that play, write or discard it. NumPy only."""

from .audio import Audio, AudioError
from .output import Output, OutputSpec, OutputStats, open_output

__all__ = ["Audio", "AudioError", "Output", "OutputSpec", "OutputStats", "open_output"]
