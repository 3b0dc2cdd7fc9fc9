"""Files, images, registries and random state; no torch.nn, no BasicSR."""
