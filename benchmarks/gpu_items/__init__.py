"""The items of ``benchmarks/gpu.py``, and how they are run and shown."""
