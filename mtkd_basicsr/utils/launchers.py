"""What launchers leave in the environment of the processes that they start."""

import os

from ..errors import OptionError

# By the name of the launcher in BasicSR.
_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
}
_STARTERS = {
    'pytorch': 'torchrun --standalone --nproc_per_node=N -m mtkd_basicsr',
    'slurm': 'srun --ntasks=N python -m mtkd_basicsr',
}


def local_rank() -> int:
    """Return the number of this process among those of its machine; 0 without a launcher."""
    return int(os.environ.get('LOCAL_RANK', os.environ.get('SLURM_LOCALID', 0)))


def check_launched(launcher: str) -> None:
    """Raise if this process was started in another way than its ``--launcher`` says.

    Without it, each of several processes would train the same experiment, into the same folder.

    Args:
        launcher: ``'none'``, ``'pytorch'`` or ``'slurm'``.

    Raises:
        OptionError: Says how to start.
    """
    missing = [name for name in _VARIABLES.get(launcher, ()) if name not in os.environ]
    if missing:
        raise OptionError(
            f'--launcher {launcher}: no launcher has set {", ".join(missing)}; start with: '
            f'{_STARTERS[launcher]} COMMAND -opt FILE --launcher {launcher}; or leave it out for '
            'one process'
        )
    # torchrun and torch.distributed.launch set the former.
    count = os.environ.get('WORLD_SIZE', '1') if 'TORCHELASTIC_RUN_ID' in os.environ else '1'
    if launcher == 'none' and count != '1':
        raise OptionError(
            f'--launcher: none, but a launcher has started {count} processes; expected pytorch'
        )
