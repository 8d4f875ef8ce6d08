"""Fixtures of this room."""

from hub.repositories import modules, remote

__all__ = ["modules", "remote"]
