"""The target cache: format, key, reader, writer, and validation."""
