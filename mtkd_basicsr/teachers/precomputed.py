"""Teachers that are folders of outputs, precomputed elsewhere."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from ..config.teacher_kinds import FolderOptions, PrecomputedConfig
from ..utils.image_folder import ImageFolder
from ..utils.image_tensors import to_tensor
from ..utils.output_folder import OutputFolder
from .kinds import register_teacher


class PrecomputedTeacher(nn.Module):
    """A teacher that does not run here: its outputs are read from files, by image name.

    A subclass converts the content of the files.

    Args:
        options: The folders.
        key: Option key of the teacher, for messages.
    """

    runs_here = False
    supports_bf16 = True
    # The class that reads the files.
    folder_type: ClassVar[type[OutputFolder]]

    def __init__(self, options: PrecomputedConfig, key: str) -> None:
        super().__init__()
        self.key = key
        self.options = options
        self.arch_name = f"{options.own_keys[0]} in '{getattr(options, options.own_keys[0])}'"

    def to_tensor(self, values: np.ndarray) -> torch.Tensor:
        """Convert the content of a file.

        Args:
            values: The content, as ``folder_type`` reads it.

        Returns:
            (1, 3, height, width), RGB, [0, 1].
        """
        raise NotImplementedError

    def enlarge(self, lq: torch.Tensor, scale: int) -> torch.Tensor:
        """Raise, because there is no network to run."""
        raise self.options.cannot_run(self.key)

    def check_scale(self, key: str, scale: int, device: str | torch.device) -> None:
        """Do nothing: the size of each output is checked when it is read."""

    def read(self, name: str, size: Sequence[int], validation: bool = False) -> torch.Tensor:
        """Read the output for an image, (1, 3, height, width), RGB, [0, 1].

        Raises:
            DataError: The output is missing, unreadable, or has another size.
            OptionError: The image belongs to a validation set without a folder of outputs.
        """
        files = self.options.folder(self.key, validation)
        if files is None:
            raise self.options.no_validation_outputs(self.key, 'val')
        return self.to_tensor(self.folder_type(files).read(name, size)).contiguous()

    def check_outputs(self, images: Sequence[Sequence[Any]], validation: bool = False) -> None:
        """Raise if the output for an image is missing or has another size."""
        files = self.options.folder(self.key, validation)
        if files is None:
            raise self.options.no_validation_outputs(self.key, 'val')
        self.folder_type(files).check(images)


@register_teacher(FolderOptions)
class FolderTeacher(PrecomputedTeacher):
    """A teacher whose outputs are images."""

    folder_type = ImageFolder

    def to_tensor(self, values: np.ndarray) -> torch.Tensor:
        """Convert an image as OpenCV reads it."""
        return to_tensor(values)
