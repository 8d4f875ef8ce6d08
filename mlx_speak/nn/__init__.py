"""Layers that several models share; each lives here once."""
