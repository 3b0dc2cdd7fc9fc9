"""Teachers that are folders of outputs: those of networks that cannot be run here."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..config.teacher_kinds import PrecomputedConfig
from ..utils.image_tensors import to_tensor


class PrecomputedTeacher(nn.Module):
    """A teacher that cannot be run: its outputs lie in files, by the names of the images.

    A class derived from it knows what the files hold.

    Args:
        options: The folders.
        key: Where they stand in the option file, for messages.
    """

    runs_here = False
    supports_bf16 = True

    def __init__(self, options: PrecomputedConfig, key: str) -> None:
        super().__init__()
        self.key = key
        self.options = options
        self.arch_name = f"{options.own_keys[0]} in '{getattr(options, options.own_keys[0])}'"

    def to_tensor(self, values: np.ndarray) -> torch.Tensor:
        """Convert what a file holds.

        Args:
            values: As the ``folder_type`` of the options reads it.

        Returns:
            (1, 3, height, width), RGB, [0, 1].
        """
        raise NotImplementedError

    def enlarge(self, lq: torch.Tensor, scale: int) -> torch.Tensor:
        """Raise, as there is nothing that can be run."""
        raise self.options.cannot_run(self.key)

    def check_scale(self, key: str, scale: int, device: str | torch.device) -> None:
        """Do nothing: the size of each output is checked when it is read."""

    def read(self, name: str, size: Sequence[int], validation: bool = False) -> torch.Tensor:
        """Read the output for an image, (1, 3, height, width), RGB, [0, 1].

        Raises:
            DataError: It is not there, not readable, or of another size.
            OptionError: It is for a validation, and no folder for it.
        """
        folder = self.options.folder(self.key, validation)
        if folder is None:
            raise self.options.no_validation_outputs(self.key, 'val')
        return self.to_tensor(folder.read(name, size)).contiguous()

    def check_outputs(self, images: Sequence[Sequence[Any]]) -> None:
        """Raise if an output of a training image is missing or of another size."""
        folder = self.options.folder(self.key)
        assert folder is not None  # the key is needed
        folder.check(images)


class FolderTeacher(PrecomputedTeacher):
    """A teacher whose outputs are images."""

    def to_tensor(self, values: np.ndarray) -> torch.Tensor:
        """Convert an image as OpenCV reads it."""
        return to_tensor(values)
