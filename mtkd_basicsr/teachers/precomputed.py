"""Teachers that are folders of images: outputs of networks that cannot be run here."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, cast

import torch
from torch import nn

from ..config import FolderOptions, TeacherOptions
from ..errors import OptionError
from ..utils.image_folder import ImageFolder
from ..utils.image_tensors import to_tensor


def folders_of(
    teachers: Mapping[str, TeacherOptions | FolderOptions],
) -> dict[str, FolderOptions]:
    """Return those teachers that are folders.

    Args:
        teachers: By name.

    Returns:
        By name.
    """
    return {
        name: options for name, options in teachers.items() if isinstance(options, FolderOptions)
    }


def require_val_images(options: FolderOptions, key: str, opt: dict[str, Any]) -> None:
    """Raise if a folder cannot be asked for what stage 1 is measured on.

    Args:
        options: The folders.
        key: Where they stand in the option file, for messages.
        opt: All options.

    Raises:
        OptionError: there are datasets to measure on, and no ``val_images``.
    """
    measured = [phase for phase in opt.get('datasets') or {} if phase != 'train']
    if options.val_images is None and measured:
        raise OptionError(
            f'{key}.val_images: missing; the fusion network is measured on datasets.{measured[0]}, '
            'whose images are no part '
            'of the cache: give the folder of what the teacher makes of them'
        )


class FolderTeacher(nn.Module):
    """A teacher that cannot be run: its outputs lie in folders, by the names of the images.

    Args:
        options: The folders.
        key: Where they stand in the option file, for messages.
    """

    def __init__(self, options: FolderOptions, key: str) -> None:
        super().__init__()
        self.key = key
        self.images = ImageFolder(options.images, f'{key}.images')
        self.val_images = (
            None
            if options.val_images is None
            else ImageFolder(options.val_images, f'{key}.val_images')
        )
        self.arch_name = f"images in '{options.images}'"

    @staticmethod
    def refusal(key: str) -> OptionError:
        """Return the error for images that are not in the folder, which a network is needed for."""
        return OptionError(
            f'{key}.images: images in a folder are not a network that can be run, which is needed '
            'here: give network and '
            'weights, or a target cache where the method takes nothing but the output (mtkd cache '
            '-opt FILE)'
        )

    def forward(self, lq: torch.Tensor) -> NoReturn:
        """Raise, as there is nothing that can be run."""
        raise self.refusal(self.key)

    def read(self, name: str, size: Sequence[int], validation: bool = False) -> torch.Tensor:
        """Read what it has for an image.

        Args:
            name: Path of the ground truth, or the end of it.
            size: Height and width of the ground truth.
            validation: Whether it is an image of a validation.

        Returns:
            (1, 3, height, width), RGB, [0, 1].

        Raises:
            DataError: not there, not readable, or of another size.
        """
        # Whoever validates has asked for them: `require_val_images`.
        folder = cast(ImageFolder, self.val_images) if validation else self.images
        array = folder.read(name, size)
        return to_tensor(array).contiguous()
