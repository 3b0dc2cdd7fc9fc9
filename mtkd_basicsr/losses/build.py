"""Building a loss from its block in the option file."""

from basicsr.losses import build_loss
from basicsr.utils.registry import LOSS_REGISTRY

from ..errors import OptionError, did_you_mean


def build(loss, key):
    """Builds a loss by BasicSR's registry.

    Args:
        loss (dict): ``type`` and the arguments of that loss.
        key (str): Where it stands in the option file, for messages.

    Returns:
        nn.Module: (pred, target) -> scalar.

    Raises:
        OptionError: unknown loss, or arguments that it does not take.
    """
    name = loss.get('type') if isinstance(loss, dict) else loss
    if name not in LOSS_REGISTRY:
        raise OptionError(f"{key}.type: unknown loss '{name}'; {did_you_mean(name, sorted(LOSS_REGISTRY.keys()))}")
    try:
        return build_loss(loss)
    except (TypeError, ValueError) as error:
        raise OptionError(f'{key}: {name} cannot be built: {error}') from error
