"""XTTS v2 beside coqui-tts: the same random weights of true size, one process each, taking turns.

    python benchmarks/xtts.py [--codes 40] [--rounds 5] [--json results.json]

Both have the speaker's latents, and speak the same token ids, greedily, until `--codes` codes are
made. A code's time is that from one to the next; the share of bandwidth is what it reads of weights
in that time, of what plain reading takes, measured in between. The first chunk is timed from the
ids to samples: ours after six codes; the reference's after its twenty, and after six as well.
coqui-tts runs in an environment of its own (tests/coqui.py). Our GPT is measured in 8
bits too (`--also`). Four gigabytes of disk are taken while this runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import memory_speed
import numpy as np
from workers import (
    ScriptWorker,
    answer_lines,
    machine,
    take_turns,
    use_own_processor,
    use_threads,
)

HERE = Path(__file__).resolve()
TESTS = HERE.parents[1] / "tests"
TEXT_IDS = np.random.default_rng(0).integers(1, 260, 24).tolist()
RATE = 24000
OURS = "mlx_speak"
SECONDS_HEARD = 4
UNITLESS = ("rtf", "codes", "bandwidth_share")
FIRST_CHUNK, COQUIS_CHUNK = 6, 20
SAME_CHUNK = f"coqui-tts, first chunk after {FIRST_CHUNK}"


class Ours:
    """XTTS in MLX, from a converted folder."""

    def __init__(self, folder: Path, codes: int, threads: int, precision: str):
        from mlx_speak import blas
        from mlx_speak.speech.xtts import Latents, load_model

        about = blas.describe()  # provided before MLX, which ruff would have imported first
        import mlx.core as mx
        import mlx.nn as nn
        from mlx.utils import tree_flatten

        self._model = model = load_model(folder / "mlx")
        if precision in ("8", "4"):
            nn.quantize(model.gpt, bits=int(precision))
        elif precision != "float32":
            model.set_dtype(getattr(mx, precision))
        mx.eval(model.parameters())
        self._latents = Latents(*(mx.array(x) for x in latents()))
        self._prefix = model.prefix(self._latents)
        self._codes = codes
        layers = tree_flatten(model.gpt.layers)
        self.read = sum(array.nbytes for _, array in layers) + model.gpt.head.weight.nbytes
        self.about = f"mlx {version('mlx')}, {precision}, {mx.default_device()}, {about}"

    def steps(self) -> Iterator[Any]:
        from mlx_speak.speech.xtts.generation import Sampling

        return self._model.codes(TEXT_IDS, self._prefix, Sampling(top_k=1))

    def chunks(self, first: int) -> Iterator[np.ndarray]:
        chunks = self._model.stream(
            TEXT_IDS, self._latents, prefix=self._prefix, top_k=1, first_chunk=first
        )
        return (np.array(chunk) for chunk in chunks if chunk is not None)

    def hear(self, samples: np.ndarray) -> None:
        self._model.condition(samples, 22050)


class Coqui:
    """The reference, with the same weights."""

    def __init__(self, folder: Path, codes: int, threads: int, precision: str):
        sys.path.insert(0, str(TESTS))
        import torch
        import xtts_oracle

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self._model, _ = xtts_oracle.build("true")
        state = torch.load(folder / "model.pth", mmap=True)["model"]
        self._model.load_state_dict(state)
        self._model.eval()
        self._model.tokenizer.encode = lambda text, lang: TEXT_IDS
        self._oracle, self._torch = xtts_oracle, torch
        layers = [*self._model.gpt.gpt.h.parameters(), self._model.gpt.mel_head.weight]
        self.read = sum(array.numel() * array.element_size() for array in layers)
        self._latents = [torch.from_numpy(x) for x in latents()]
        self.about = (
            f"coqui-tts {version('coqui-tts')}, torch {torch.__version__}, float32, "
            f"{threads} threads"
        )

    def steps(self) -> Iterator[Any]:
        gpt, torch = self._model.gpt, self._torch
        inputs = gpt.compute_embeddings(self._latents[0], torch.IntTensor(TEXT_IDS)[None])
        options = {"do_sample": True, "num_beams": 1, "num_return_sequences": 1, "top_k": 1}
        options |= {"output_hidden_states": True, "return_dict_in_generate": True}
        return gpt.get_generator(
            fake_inputs=inputs, output_attentions=False, **options, **self._oracle.SETTINGS
        )

    def chunks(self, first: int) -> Iterator[np.ndarray]:
        options = {"stream_chunk_size": first, "top_k": 1, **self._oracle.SETTINGS}
        stream = self._model.inference_stream("a", "en", *self._latents, **options)
        return (chunk.numpy() for chunk in stream)

    def hear(self, samples: np.ndarray) -> None:
        audio = self._torch.from_numpy(samples)[None]
        self._model.get_gpt_cond_latents(audio, 22050, length=30, chunk_length=4)
        self._model.get_speaker_embedding(audio, 22050)


def latents() -> tuple[np.ndarray, np.ndarray]:
    """A speaker, as good as any for random weights."""
    draw = np.random.default_rng(1).standard_normal
    return 0.5 * draw((1, 32, 1024), np.float32), 0.04 * draw((1, 512, 1), np.float32)


def speak(engine: Ours | Coqui, codes: int, first: int, whole: bool) -> dict[str, Any]:
    """Seconds of everything, once; unless `whole`, of the first chunk alone."""
    if not whole:
        start = time.perf_counter()
        chunk = next(engine.chunks(first))
        seconds = time.perf_counter() - start
        return {"first_chunk": seconds, "first_chunk_audio": len(chunk) / RATE}
    times = []
    start = time.perf_counter()
    for _, _ in zip(engine.steps(), range(codes), strict=False):
        times.append(time.perf_counter() - start)
    result: dict[str, Any] = {
        "prefill": times[0],
        "code": (times[-1] - times[0]) / (len(times) - 1),
        "read": engine.read,
        "codes": len(times),
    }
    sound, until = 0, []
    start = time.perf_counter()
    for chunk in engine.chunks(first):
        sound += len(chunk)
        if not until:
            result["first_chunk_audio"] = len(chunk) / RATE
        until.append(time.perf_counter() - start)
        if sound >= codes * 1024 / 22050 * RATE - 8192:  # all but the last chunk
            break
    heard = np.random.default_rng(2).standard_normal(22050 * SECONDS_HEARD).astype(np.float32)
    begun = time.perf_counter()
    engine.hear(0.1 * heard)
    return result | {
        "first_chunk": until[0],
        "rtf": until[-1] / (sound / RATE),
        "clone": time.perf_counter() - begun,
    }


def serve(kind: str, folder: Path, codes: int, threads: int, precision: str) -> None:
    """Answer requests, the arguments of `speak` after `codes`, with its results."""

    def make() -> tuple[Callable[..., Any], str]:
        engine = (Ours if kind == OURS else Coqui)(folder, codes, threads, precision)

        def answer(first: int, whole: bool) -> dict[str, Any]:
            return speak(engine, codes, first, whole) | {"resident": resident()}

        return answer, engine.about

    answer_lines(make)


def resident() -> int:
    """Bytes of memory that this process holds, its mapped files aside."""
    pairs = (line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    sizes = {name: value.split()[0] for name, value in pairs if value.strip().endswith("kB")}
    return 1024 * int(sizes["RssAnon"])


def prepare(folder: Path, python: Path, codes: int) -> None:
    """The reference's weights, and the same converted."""
    from mlx_speak.convert.folder import save_model
    from mlx_speak.convert.torch_file import read_torch
    from mlx_speak.convert.xtts_parameters import dimensions, parameters

    script = TESTS / "xtts_oracle.py"
    subprocess.run([python, script, folder, "--size", "true", "--weights-only"], check=True)
    state = read_torch(folder / "model.pth")["model"]
    config = json.loads((folder / "config.json").read_text()) | dimensions(state)
    config["model_type"] = "xtts"
    (folder / "mlx").mkdir()
    save_model(folder / "mlx", config, parameters(state, config["model_args"]["gpt_n_heads"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codes", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--also", nargs="*", default=["8"], choices=("bfloat16", "8", "4"), help="our precisions"
    )
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    sys.path.insert(0, str(TESTS))
    import coqui

    use_own_processor()
    use_threads(options.threads)
    python = coqui.python()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder, python, options.codes)
        common = [str(folder), str(options.codes), str(options.threads)]
        runs = {OURS: (ScriptWorker(sys.executable, HERE, OURS, *common, "float32"), FIRST_CHUNK)}
        for precision in options.also:
            peer = ScriptWorker(sys.executable, HERE, OURS, *common, precision)
            shown = f"{precision} bits" if precision.isdigit() else precision
            runs[f"{OURS}, {shown}"] = (peer, FIRST_CHUNK)
        reference = ScriptWorker(python, HERE, "coqui", *common, "float32")
        runs["coqui-tts"] = (reference, COQUIS_CHUNK)
        runs[SAME_CHUNK] = (reference, FIRST_CHUNK)
        raw: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
        probe, _ = memory_speed.make("cpu", options.threads)
        speeds = []
        for turn in range(options.rounds + 1):
            speeds.append(probe())
            for name in take_turns(list(runs), turn):
                peer, first = runs[name]
                result = peer(first, name != SAME_CHUNK)
                if turn:  # the first time round warms up
                    raw[name].append(result)
        abouts = {name: peer.about for name, (peer, _) in runs.items()}
        for peer in {id(peer): peer for peer, _ in runs.values()}.values():
            peer.close()
    medians = {
        name: {key: statistics.median(r[key] for r in results) for key in results[0]}
        for name, results in raw.items()
    }
    bandwidth = statistics.median(speeds)
    for row in medians.values():
        if "read" in row:
            row["bandwidth_share"] = row.pop("read") / row["code"] / bandwidth
    report(medians)
    print(f"memory: {bandwidth / 1e9:.1f} GB/s, by {options.threads} threads")
    for name, about in abouts.items():
        print(f"{name}: {about}")
    if options.json:
        here = machine() | {"threads": str(options.threads)}
        found = {"machine": here, "about": abouts, "engines": medians, "raw": raw}
        found["bandwidth"] = bandwidth
        found["steps_before_sound"] = {name: first for name, (_, first) in runs.items()}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def report(medians: dict[str, dict[str, float]]) -> None:
    """Print the medians, and ours over each of them."""
    for name, row in medians.items():
        print(f"{name}:")
        for key, value in row.items():
            unit = " GB" if key == "resident" else "" if key in UNITLESS else " s"
            shown = value / 1e9 if key == "resident" else value
            print(f"    {key:18}{shown:8.3f}{unit:3}   ours / it {medians[OURS][key] / value:5.2f}")


if __name__ == "__main__":
    if "--serve" in sys.argv:
        kind, weights, codes, threads, precision = sys.argv[2:]
        serve(kind, Path(weights), int(codes), int(threads), precision)
    else:
        main()
