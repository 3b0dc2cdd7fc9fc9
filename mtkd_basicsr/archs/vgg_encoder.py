"""The features of VGG19 that contrastive losses of super-resolution compare."""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import nn
from torchvision.models import vgg

from ..host.api import VGG_LAYERS, VGGFeatureExtractor

# The first activation of each of the five resolutions.
_LAYERS = ('relu1_1', 'relu2_1', 'relu3_1', 'relu4_1', 'relu5_1')
# Of ImageNet, for images in [0, 1], as in BasicSR.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def vgg_tensors(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of the layers that are used, under the names of :class:`VGGEncoder`.

    Args:
        state: Tensors by their names in torchvision: ``features.0.weight``, … A classifier is left
            out.
    """
    found = {}
    for i, layer in enumerate(_used_layers()):
        for kind in ('weight', 'bias'):
            name = f'features.{i}.{kind}'
            if name in state:
                found[f'vgg_net.{layer}.{kind}'] = state[name]
    return found


def _used_layers() -> list[str]:
    names: list[str] = VGG_LAYERS['vgg19']
    return names[: names.index(_LAYERS[-1]) + 1]


class VGGEncoder(VGGFeatureExtractor):
    """BasicSR's VGG19 for perceptual losses, with weights that are loaded afterwards.

    BasicSR's own constructor reads a whole VGG19 from a fixed path, and downloads it if there is
    none.

    Shape:
        - Input: (b, 3, h, w), RGB, [0, 1], both sides at least ``size_factor``.
        - Output: a feature for each level, (b, c, h / 2^i, w / 2^i), rounded down.
    """

    level_count = len(_LAYERS)
    size_factor = 2 ** (level_count - 1)
    codes = None

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.layer_name_list = list(_LAYERS)
        self.use_input_norm = True
        self.range_norm = False
        self.names = _used_layers()
        layers = vgg.make_layers(vgg.cfgs['E'])
        self.vgg_net = nn.Sequential(OrderedDict(zip(self.names, layers, strict=False)))
        for name, values in (('mean', _MEAN), ('std', _STD)):
            buffer = torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(name, buffer, persistent=False)

    def forward(
        self, images: torch.Tensor, with_latents: bool = False
    ) -> tuple[list[torch.Tensor], None]:
        """Compute the first activation of each level.

        Args:
            images: (b, 3, h, w), RGB, [0, 1].
            with_latents: Not for this encoder, which has no codebook.

        Returns:
            The features, and None.
        """
        found = super().forward(images)
        return [found[name] for name in _LAYERS], None
