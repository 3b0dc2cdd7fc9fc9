"""BasicSR's prefetcher, ``prefetch_mode: cpu``: no leftover threads, and errors are raised."""

import threading
from dataclasses import dataclass
from typing import Any

from basicsr.data import prefetch_dataloader


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


def apply() -> None:
    """Let BasicSR's loaders use this generator.

    Calling it twice is harmless.
    """
    prefetch_dataloader.PrefetchGenerator = PrefetchGenerator
