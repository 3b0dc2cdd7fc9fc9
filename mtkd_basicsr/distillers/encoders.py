"""Frozen encoders of images, whose features methods compare."""

import os
from dataclasses import dataclass
from typing import cast

import torch

from ..archs.vgg_encoder import VGGEncoder, vgg_tensors
from ..archs.vqgan_encoder import VQGANEncoder, encoder_tensors, sizes_of
from ..errors import MTKDError, WeightsError
from ..utils.paths import expanded
from ..weights.fitting import fit_weights
from ..weights.reading import read_weights
from ..weights.state_dicts import state_dict_of

# Where the files come from.
SOURCES = {
    'VQGAN': (
        'the checkpoint vqgan_imagenet_f16_1024 of CompVis/taming-transformers (ckpts/last.ckpt of '
        'https://heibox.uni-heidelberg.de/d/8088892a516d4e3baf92/)'
    ),
    'VGG19': (
        "torchvision's VGG19 (https://download.pytorch.org/models/vgg19-dcbb9e9d.pth), the file of "
        "BasicSR's perceptual loss"
    ),
}


@dataclass
class Encoded:
    """What an encoder makes of images.

    Attributes:
        features: Of each level, (b, c, h / 2^i, w / 2^i).
        latents: What the codebook quantizes, (b, d, h', w'); None unless asked for.
    """

    features: list[torch.Tensor]
    latents: torch.Tensor | None


def missing_file(kind: str, path: str | None, key: str) -> MTKDError | None:
    """Return an error if the file of an encoder is missing; None if it is there.

    Args:
        kind: A key of :data:`SOURCES`.
        path: The file from the option file.
        key: Its option key.
    """
    if path is None:
        return WeightsError(f'{key}: missing; expected the path of {SOURCES[kind]}')
    if not os.path.isfile(expanded(path)):
        return WeightsError(f"{key}: no file '{path}'; expected {SOURCES[kind]}")
    return None


def _build(kind: str, path: str, key: str) -> VQGANEncoder | VGGEncoder:
    """Build an encoder with the weights of a file."""
    state = state_dict_of(read_weights(path, key), path, key)
    net: VQGANEncoder | VGGEncoder
    if kind == 'VGG19':
        net = VGGEncoder()
        tensors = vgg_tensors(state)
    else:
        tensors = encoder_tensors(state)
        try:
            net = VQGANEncoder(sizes_of(tensors))
        except (KeyError, ValueError) as error:
            raise WeightsError(
                f"{key}: '{path}' has no encoder and codebook of a VQGAN ({error}); expected "
                f'{SOURCES[kind]}'
            ) from error
    fit_weights(net, {'params': tensors}, path, key)
    return net


class FrozenEncoder:
    """An encoder with fixed weights, in fp32. It is no module, so that nobody trains it.

    Args:
        kind: A key of :data:`SOURCES`.
        path: The file with its weights.
        key: The option key of the file, for messages.
        device: Device of the images.

    Raises:
        WeightsError: The file is missing or does not fit.

    Attributes:
        size_factor: The smallest side of an image.
        codes: The codebook, (k, d); None without one.
        level_count: Number of features.
    """

    def __init__(self, kind: str, path: str | None, key: str, device: str | torch.device) -> None:
        error = missing_file(kind, path, key)
        if error is not None:
            raise error
        self._kind = kind
        self._path = cast(str, path)
        self._net = _build(kind, self._path, key)
        self._net.requires_grad_(False)
        self._net.eval().to(device)
        self.size_factor = self._net.size_factor
        self.codes = self._net.codes
        self.level_count = self._net.level_count

    def __call__(self, images: torch.Tensor, with_latents: bool = False) -> Encoded:
        """Encode images; gradients reach the images.

        Args:
            images: (b, 3, h, w), RGB, [0, 1].
            with_latents: Whether to compute the latents too.
        """
        with torch.autocast(images.device.type, enabled=False):
            return Encoded(*self._net(images, with_latents))

    def describe(self) -> str:
        """Return what the log says of the encoder."""
        count = sum(p.numel() for p in self._net.parameters())
        codes = '' if self.codes is None else f', {len(self.codes):,d} codes'
        return f"{self._kind} of '{self._path}', {count:,d} parameters{codes}"
