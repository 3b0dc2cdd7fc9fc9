"""Building networks; reading, converting and matching their weights."""
