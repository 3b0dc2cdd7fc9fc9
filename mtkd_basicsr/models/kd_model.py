"""The trainer of all students."""

import torch
from basicsr.utils import get_root_logger
from basicsr.utils.registry import MODEL_REGISTRY

from ..distillers import Batch, build_distiller
from ..errors import OptionError
from ..options import KDOptions, parse, parse_speed
from ..registry import register
from .base import DistillBase


@register(MODEL_REGISTRY)
class KDModel(DistillBase):
    """Trains ``network_g``, the student, with the method that ``train.kd.type`` names.

    Validation and testing are BasicSR's, against the ground truth; they need neither teachers nor fusion network.

    Args:
        opt (dict): Options as parsed by BasicSR.

    Raises:
        OptionError, WeightsError: something in the option file, or a file that it names, cannot be used.
    """

    default_method = None

    def init_training_settings(self):
        train_opt = self.opt['train']
        if train_opt.get('perceptual_opt'):
            raise OptionError('train.perceptual_opt: distillation has no perceptual loss; remove it')
        # Before BasicSR sets up the optimizer, which needs the distiller's parameters and takes the options apart.
        default = {'type': self.default_method} if self.default_method else None
        self.distiller = build_distiller(parse(KDOptions, train_opt.get('kd', default), 'train.kd'), self.opt, self.device)
        for line in self.distiller.describe():
            get_root_logger().info(line)
        self.speed = parse_speed(self.opt)
        super().init_training_settings()
        if self.speed.compile:
            self.get_bare_model(self.net_g).compile()

    def feed_data(self, data):
        """Takes a batch; ``target`` in it stands in for the teachers."""
        super().feed_data(data)
        self.target = data['target'].to(self.device) if 'target' in data else None

    def student(self, lq):
        """What the student makes of a batch: (b, 3, h, w) -> (b, 3, scale · h, scale · w), float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.speed.amp == 'bf16'):
            return self.net_g(lq).float()

    def optimize_parameters(self, current_iter):
        """One step; ``self.log_dict`` holds each loss."""
        self.optimizer_g.zero_grad()
        losses = self.distiller.losses(self.student, Batch(self.lq, self.gt, self.target))
        sum(losses.values()).backward()
        self.optimizer_g.step()
        self.log_dict = self.reduce_loss_dict(losses)
        if self.ema_decay > 0:
            self.model_ema(decay=self.ema_decay)
