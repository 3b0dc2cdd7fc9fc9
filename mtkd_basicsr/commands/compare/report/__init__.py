"""The report of a comparison: tables, curves and crops."""
