"""BasicSR's prefetchers: no leftover threads or workers, and errors are raised."""

import threading
from dataclasses import dataclass
from typing import Any

import torch
from basicsr.data import prefetch_dataloader
from basicsr.data.data_sampler import EnlargedSampler
from torch.utils.data import DataLoader


@dataclass(frozen=True)
class _Failure:
    """An error of the thread, in the place of a batch."""

    error: BaseException


class PrefetchGenerator(prefetch_dataloader.PrefetchGenerator):
    """BasicSR's generator, whose thread starts with the first batch that is asked for.

    BasicSR's ``CPUPrefetcher`` makes one generator more than it uses. Its thread would read images
    beside that of the generator that is used, from the same random numbers, and would never end.
    An error of a dataset would end the thread silently, and the training would wait for ever.
    """

    def start(self) -> None:
        """Do nothing yet: BasicSR starts the thread when it makes it."""

    def __next__(self) -> Any:
        """Return the next batch.

        Raises:
            StopIteration: There is none.
            Exception: What the dataset has raised.
        """
        if self.ident is None:
            threading.Thread.start(self)
        batch = super().__next__()
        if isinstance(batch, _Failure):
            raise batch.error
        return batch

    def run(self) -> None:
        """Read batches, and hand on an error."""
        try:
            super().run()
        except BaseException as error:
            self.queue.put(_Failure(error))


class CPUPrefetcher(prefetch_dataloader.CPUPrefetcher):
    """BasicSR's prefetcher, for any ``prefetch_mode`` but cuda, which starts workers once.

    BasicSR starts them when it makes the prefetcher, and again at the first epoch; the first ones
    have then read and decoded batches for nothing.

    Args:
        loader: The loader of a training.
    """

    is_checked = True

    def __init__(self, loader: DataLoader[Any]) -> None:
        is_usual = type(loader) is DataLoader and isinstance(loader.sampler, EnlargedSampler)
        if not is_usual or loader.num_workers == 0 or loader.persistent_workers:
            super().__init__(loader)
            return
        self.ori_loader = loader
        self.loader = None
        # What torch draws to start workers, as BasicSR's sampler draws nothing: the random numbers
        # of a training stay the same.
        torch.empty((), dtype=torch.int64).random_(generator=loader.generator)

    def next(self) -> Any:
        """Return the next batch; None at the end of an epoch."""
        if self.loader is None:
            self.reset()
        return super().next()


def apply() -> None:
    """Let BasicSR's loaders use this generator.

    Calling it twice is harmless.
    """
    prefetch_dataloader.PrefetchGenerator = PrefetchGenerator
