"""A fast BLAS for MLX's CPU backend on Linux; does nothing elsewhere."""


def provide() -> None:
    """Load a BLAS before MLX."""
