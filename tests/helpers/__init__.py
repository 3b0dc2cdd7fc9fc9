"""What several test files share. ``tests`` is on the path: ``from helpers.machines import …``."""
