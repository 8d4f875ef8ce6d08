"""Bring original checkpoints into folders that `mlx_speak` loads."""
