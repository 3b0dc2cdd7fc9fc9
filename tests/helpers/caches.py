"""What ``mtkd cache`` does."""

from mtkd_basicsr.commands.cache.targets import _Targets


def record_computed(monkeypatch):
    """Return a list that gets the name of each image whose targets are computed from now on."""
    names = []
    compute = _Targets.__call__

    def recorded(self, name, lq):
        names.append(name)
        return compute(self, name, lq)

    monkeypatch.setattr(_Targets, '__call__', recorded)
    return names
