"""Teachers that are folders of images: precomputed outputs of networks."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..config import FolderOptions
from ..errors import OptionError
from ..utils.image_folder import ImageFolder
from ..utils.image_tensors import to_tensor


class FolderTeacher(nn.Module):
    """A teacher that does not run here: its outputs are read from folders, by image name.

    Args:
        options: The folders.
        key: Option key of the teacher, for messages.
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
        """Return the error for uses of the teacher that need a network."""
        return OptionError(
            f'{key}.images: a folder of images cannot be run like a network; set network and '
            'weights, or use a target cache if the method needs only the output (mtkd cache -opt '
            'FILE)'
        )

    def enlarge(self, lq: torch.Tensor, scale: int) -> torch.Tensor:
        """Raise, because there is no network to run."""
        raise self.refusal(self.key)

    def check_scale(self, key: str, scale: int, device: str | torch.device) -> None:
        """Do nothing: the size of each output is checked when it is read."""

    def read(self, name: str, size: Sequence[int], validation: bool = False) -> torch.Tensor:
        """Read the output for an image, (1, 3, height, width), RGB, [0, 1].

        Raises:
            DataError: The output is missing, unreadable, or has another size.
            OptionError: The image belongs to a validation set, but ``val_images`` is not set.
        """
        folder = self.val_images if validation else self.images
        if folder is None:
            raise FolderOptions.no_val_images(self.key, 'val')
        array = folder.read(name, size)
        return to_tensor(array).contiguous()

    def check_outputs(self, images: Sequence[Sequence[Any]]) -> None:
        """Raise if the output for a training image is missing or has another size."""
        self.images.check(images)
