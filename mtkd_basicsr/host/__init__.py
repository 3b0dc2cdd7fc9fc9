"""Everything that patches, imitates or reads BasicSR."""
