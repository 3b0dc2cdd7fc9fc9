"""Teachers that are folders of images: outputs of networks that are not PyTorch's, or not at hand."""

import torch
from torch import nn

from ..config import FolderOptions
from ..errors import OptionError
from ..utils.image_folder import ImageFolder


def folders_of(teachers):
    """Those teachers that are folders.

    Args:
        teachers (dict[str, TeacherOptions | FolderOptions]): By name.

    Returns:
        dict[str, FolderOptions]: By name.
    """
    return {
        name: options for name, options in teachers.items() if isinstance(options, FolderOptions)
    }


def require_val_images(options, key, opt):
    """Refuses a folder that cannot be asked for what stage 1 is measured on.

    Args:
        options (FolderOptions): The folders.
        key (str): Where they stand in the option file, for messages.
        opt (dict): All options.

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
        options (FolderOptions): The folders.
        key (str): Where they stand in the option file, for messages.
    """

    def __init__(self, options, key):
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
    def refusal(key):
        """The error for a place where a teacher has to be run on images that are not in its folder."""
        return OptionError(
            f'{key}.images: images in a folder are not a network that can be run, which is needed '
            'here: give network and '
            'weights, or a target cache where the method takes nothing but the output (mtkd cache '
            '-opt FILE)'
        )

    def forward(self, lq):
        raise self.refusal(self.key)

    def read(self, name, size, validation=False):
        """What it has for an image: (1, 3, height, width), RGB, [0, 1].

        Args:
            name (str): Path of the ground truth, or the end of it.
            size (tuple[int, int]): Height and width of the ground truth.
            validation (bool): Whether it is an image of a validation.

        Raises:
            DataError: not there, not readable, or of another size.
        """
        array = (self.val_images if validation else self.images).read(name, size)
        return torch.from_numpy(array[..., ::-1].transpose(2, 0, 1).copy())[None].float() / 255
