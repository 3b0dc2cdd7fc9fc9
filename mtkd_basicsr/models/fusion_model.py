"""The first stage of MTKD."""

import torch
from basicsr.utils import get_root_logger
from basicsr.utils.registry import MODEL_REGISTRY

from .. import __version__
from ..networks import read_weights
from ..options import parse_teachers
from ..registry import register
from ..teachers import METADATA, TeacherEnsemble, check_channels, match_teachers
from .base import DistillBase


@register(MODEL_REGISTRY)
class MTKDFusionModel(DistillBase):
    """Trains ``network_g``, the fusion network, on the outputs of the frozen ``teachers``, against the ground truth.

    The loss is BasicSR's ``train.pixel_opt``. Checkpoints hold the names of the teachers in their order; a checkpoint
    that training or testing starts from decides about the order.

    Args:
        opt (dict): Options as parsed by BasicSR.

    Raises:
        OptionError, WeightsError: something in the option file, or a file that it names, cannot be used.
    """

    def __init__(self, opt):
        teachers = parse_teachers(opt)
        super().__init__(opt)
        check_channels(self.get_bare_model(self.net_g), list(teachers), 'network_g')
        self.ensemble = TeacherEnsemble(teachers, self.scale, self.device)
        path = opt['path'].get('pretrain_network_g')
        if path is not None:
            content = read_weights(path, 'path.pretrain_network_g')
            self.ensemble.reorder(match_teachers(self.ensemble.names, content.get(METADATA), path) or self.ensemble.names)
        for line in self.ensemble.describe():
            get_root_logger().info(line)

    def infer(self, net, lq):
        return net(self.ensemble(lq))

    def optimize_parameters(self, current_iter):
        """One step of BasicSR's, in which the input of ``network_g`` is what the teachers make of the image."""
        self.lq = self.ensemble(self.lq)
        super().optimize_parameters(current_iter)

    def checkpoint_extras(self):
        return {METADATA: {'teachers': list(self.ensemble.names), 'scale': self.scale, 'version': __version__}}
