"""Checks of options, before an hour is spent on them.

A layer of its own between the trainers and the commands: ``mtkd train``, ``mtkd test``, ``mtkd
check`` and BasicSR's own scripts ask it.
"""
