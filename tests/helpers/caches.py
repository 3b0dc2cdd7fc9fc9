"""What ``mtkd cache`` does."""

from mtkd_basicsr.commands.cache.computing import Targets


def record_computed(monkeypatch):
    """Return a list that gets the name of each image whose targets are computed from now on."""
    names = []
    compute = Targets.__call__

    def recorded(self, wanted, lq, batch):
        names.extend(wanted)
        return compute(self, wanted, lq, batch)

    monkeypatch.setattr(Targets, '__call__', recorded)
    return names
