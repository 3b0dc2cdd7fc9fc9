"""Filters for warnings of other packages that users of this one can do nothing about.

Each is filtered by its text and the module it names, and after all other filters, so that
``python -W error`` still reports it.
"""

import warnings

# Text, category, module, as `warnings.filterwarnings` takes them.
_FILTERS: tuple[tuple[str, type[Warning], str], ...] = (
    # BasicSR's SwinIR (and spandrel's) call torch.meshgrid without `indexing`. torch warns once per
    # process, whichever calls first.
    (r'torch\.meshgrid: in an upcoming release', UserWarning, r'torch\.functional'),
    # BasicSR's build_dataloader passes on `pin_memory: true`, which option files for a GPU have.
    (r"'pin_memory' argument is set as true but", UserWarning, r'torch\.utils\.data\.dataloader'),
    # The option files have `num_worker_per_gpu: 6`, as BasicSR's have; a machine may have fewer
    # cores.
    (
        r'This DataLoader will create \d+ worker processes',
        UserWarning,
        r'torch\.utils\.data\.dataloader',
    ),
    # BasicSR's loop advances the schedule even if the first step was skipped; our log reports that.
    (
        r'Detected call of `lr_scheduler\.step\(\)` before',
        UserWarning,
        r'basicsr\.models\.base_model|torch\.optim\.lr_scheduler',
    ),
)


def apply() -> None:
    """Add the filters to those of this process.

    Calling it twice is harmless.
    """
    for text, category, module in _FILTERS:
        warnings.filterwarnings('ignore', text, category, module, append=True)
