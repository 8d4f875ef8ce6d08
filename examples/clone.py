"""Speak a text with a voice cloned from a recording, into a file and to the sound card.

    python examples/clone.py me.wav --output speech.wav speakers < text.txt

XTTS's weights are fetched and converted at the first use (1.9 GB; for non-commercial use only).
Give `--model` a converted folder, a fine-tune's or its id on the hub to take another.
"""

import argparse
import sys

import mlx_speak as ms

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("recording", nargs="+", help="six seconds or more of one person")
parser.add_argument("--model", default="xtts")
parser.add_argument("--bits", type=int, choices=(8, 4), help="of the weights, for less memory")
parser.add_argument("--language", default="en", help="of the text")
parser.add_argument("--output", nargs="+", default=["speech.wav", "speakers"])
arguments = parser.parse_args()

voice = ms.load_voice(arguments.model, arguments.bits)
speaker = voice.clone(arguments.recording)
speaker.save(f"{speaker.name}.safetensors")  # voice.load_speaker reads it without the recording

with ms.Pipeline(None, voice, arguments.language, output=arguments.output, speaker=speaker) as pipe:
    pipe.warm_up()
    for utterance in pipe.run(ms.read_stream(sys.stdin.buffer, format="text")):
        times = utterance.times
        print(
            f"{utterance.text} ({utterance.audio_seconds:.1f} s, {times.latency or 0:.2f} s later)"
        )
    print(pipe.stats())
