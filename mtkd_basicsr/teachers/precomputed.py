"""Teachers that are folders of images: outputs of networks that cannot be run here."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..config import FolderOptions
from ..errors import OptionError
from ..utils.image_folder import ImageFolder
from ..utils.image_tensors import to_tensor


class FolderTeacher(nn.Module):
    """A teacher that cannot be run: its outputs lie in folders, by the names of the images.

    Args:
        options: The folders.
        key: Where they stand in the option file, for messages.
    """

    runs_here = False
    supports_bf16 = True

    def __init__(self, options: FolderOptions, key: str) -> None:
        super().__init__()
        self.key = key
        self.images = ImageFolder(options.images, f'{key}.images')
        self.val_images: ImageFolder | None = None
        if options.val_images is not None:
            self.val_images = ImageFolder(options.val_images, f'{key}.val_images')
        self.arch_name = f"images in '{options.images}'"

    @staticmethod
    def refusal(key: str) -> OptionError:
        """Return the error for images that are not in the folder, which a network is needed for."""
        return OptionError(
            f'{key}.images: images in a folder are not a network that can be run, which is needed '
            'here: give network and weights, or a target cache where the method takes nothing but '
            'the output (mtkd cache -opt FILE)'
        )

    def enlarge(self, lq: torch.Tensor, scale: int) -> torch.Tensor:
        """Raise, as there is nothing that can be run."""
        raise self.refusal(self.key)

    def check_scale(self, key: str, scale: int, device: str | torch.device) -> None:
        """Do nothing: the size of each output is checked when it is read."""

    def read(self, name: str, size: Sequence[int], validation: bool = False) -> torch.Tensor:
        """Read the output for an image, (1, 3, height, width), RGB, [0, 1].

        Raises:
            DataError: It is not there, not readable, or of another size.
            OptionError: It is for a validation, and there is no ``val_images``.
        """
        folder = self.val_images if validation else self.images
        if folder is None:
            raise FolderOptions.no_val_images(self.key, 'val')
        array = folder.read(name, size)
        return to_tensor(array).contiguous()

    def check_outputs(self, images: Sequence[Sequence[Any]]) -> None:
        """Raise if an output of a training image is missing or of another size."""
        self.images.check(images)
