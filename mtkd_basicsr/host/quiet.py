"""Warnings of other packages that a user of this one can do nothing about.

Each is filtered by its text and by the module that it names, and after all other filters, so that
``python -W error`` still finds it.
"""

import warnings

# Text, category, module, as `warnings.filterwarnings` takes them.
_OF_OTHERS: tuple[tuple[str, type[Warning], str], ...] = (
    # BasicSR's SwinIR (and spandrel's) call torch.meshgrid without `indexing`. torch says it once
    # for each process, whoever calls first.
    (r'torch\.meshgrid: in an upcoming release', UserWarning, r'torch\.functional'),
    # BasicSR's build_dataloader hands `pin_memory: true` on, which option files for a GPU have.
    (r"'pin_memory' argument is set as true but", UserWarning, r'torch\.utils\.data\.dataloader'),
    # The option files have `num_worker_per_gpu: 6`, as BasicSR's have; a machine may have fewer
    # cores.
    (
        r'This DataLoader will create \d+ worker processes',
        UserWarning,
        r'torch\.utils\.data\.dataloader',
    ),
    # BasicSR's loop goes on with the schedule after a first step that was skipped; our log says so.
    (
        r'Detected call of `lr_scheduler\.step\(\)` before',
        UserWarning,
        r'basicsr\.models\.base_model|torch\.optim\.lr_scheduler',
    ),
)


def apply() -> None:
    """Add the filters to those of this process.

    Harmless when done twice.
    """
    for text, category, module in _OF_OTHERS:
        warnings.filterwarnings('ignore', text, category, module, append=True)
