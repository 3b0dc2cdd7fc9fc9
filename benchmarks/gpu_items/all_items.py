"""Importing this module registers all items of ``benchmarks/gpu.py``."""

from . import (  # noqa: F401
    attention,
    commands,
    devices,
    loading,
    losses,
    networks,
    operations,
    pipelines,
    states,
    steps,
)
