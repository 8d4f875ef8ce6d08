"""The command `python -m mlx_speak.kernels`: what runs where, and why."""

from __future__ import annotations

import platform
from importlib.metadata import version

from . import OPERATIONS, gpu


def main() -> None:
    """Print the operations of this room: what each runs on here, the reason, and its kernels."""
    where = f"{platform.system()} {platform.machine()}, {gpu() or 'no GPU'}"
    print(f"MLX {version('mlx')} on {where}\n")
    width = max(len(operation.name) for operation in OPERATIONS)
    for operation in OPERATIONS:
        backend, reason = operation.why()
        bodies = ", ".join(f"{kernel.name}.metal" for kernel in operation.kernels)
        print(f"{operation.name:{width}} {backend:6} {reason}")
        print(f"{'':{width}} {'':6} {bodies}: {operation.shapes}")
    print('\n"ops" is plain MLX, which all other shapes run in, too.')
    print('kernels.use("metal") or ("cuda") forces the kernels, for a benchmark or a test.')


if __name__ == "__main__":
    main()
