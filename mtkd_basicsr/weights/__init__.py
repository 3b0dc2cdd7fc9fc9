"""Build networks; read, convert and match their weights."""
