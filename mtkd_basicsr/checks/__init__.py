"""Checks of an option file before a training or a test starts.

``mtkd train``, ``mtkd test``, ``mtkd check`` and BasicSR's own scripts run them.
"""
