"""Files, images, precision, registries and random state, without torch.nn and BasicSR."""
