"""All that patches, imitates or reads BasicSR."""
