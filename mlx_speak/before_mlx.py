"""Whether MLX is about to be imported: then its BLAS comes first, and only what needs MLX waits."""

from __future__ import annotations

import sys


class _BeforeMLX:
    """On `sys.meta_path`, has `blas` provide when `mlx.core` is looked for."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "mlx.core" and self in sys.meta_path:
            sys.meta_path.remove(self)
            _provide()


_before_mlx = _BeforeMLX()


def provide_blas_when_needed() -> None:
    """When MLX is imported; or now, to say so, if it has been."""
    if "mlx.core" in sys.modules:
        _provide()
    elif _before_mlx not in sys.meta_path:
        sys.meta_path.insert(0, _before_mlx)


def provide_blas() -> None:
    """Now, unless it has been."""
    _before_mlx.find_spec("mlx.core")


def _provide() -> None:
    from . import blas  # whose imports a command without MLX does not need

    blas.provide()
