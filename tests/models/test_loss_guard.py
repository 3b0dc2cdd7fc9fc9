import torch

from mtkd_basicsr.models.loss_guard import LossGuard


class OnGPU(torch.Tensor):
    """A tensor that says that it is on a GPU."""

    is_cuda = True


class Event:
    """In the place of torch.cuda.Event, which needs a GPU."""

    made = []

    def __init__(self, **keywords):
        self.keywords = keywords
        self.calls = []
        Event.made.append(self)

    def record(self):
        self.calls.append('record')

    def synchronize(self):
        self.calls.append('synchronize')


def test_waiting_for_a_gpu_keeps_no_core_busy(monkeypatch):
    monkeypatch.setattr(Event, 'made', [])
    monkeypatch.setattr(torch.cuda, 'Event', Event)
    empty = torch.empty
    # Without a GPU there is no pinned memory either.
    monkeypatch.setattr(torch, 'empty', lambda *args, pin_memory, **keywords: empty(*args))
    guard = LossGuard(1, distributed=False)
    losses = {name: torch.tensor(value).as_subclass(OnGPU) for name, value in (('a', 1), ('b', 2))}
    guard.start(losses)
    (event,) = Event.made
    assert event.keywords == {'blocking': True}
    assert event.calls == ['record']
    assert guard.values() == {'a': 1.0, 'b': 2.0}
    assert event.calls == ['record', 'synchronize']
