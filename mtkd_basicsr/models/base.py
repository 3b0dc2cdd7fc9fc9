"""What our models share: tiled inference, and checkpoints that are written whole."""

import os

import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils.dist_util import master_only
from torch.nn.parallel import DistributedDataParallel

from ..checkpoints import save_atomically
from ..errors import OptionError
from ..functional.padding import run_padded
from ..functional.tiling import run_tiled
from ..networks import size_multiple
from ..options import check_near_misses, parse_val, require


class DistillBase(SRModel):
    """BasicSR's ``SRModel`` for networks of any input size, with tiles where ``val.tile`` says so.

    Args:
        opt (dict): Options as parsed by BasicSR.

    Raises:
        OptionError: a key of ours is wrong, or ``num_gpu`` asks for a GPU that is not there.
    """

    def __init__(self, opt):
        check_near_misses(opt)
        self.val_options = parse_val(opt)
        self.scale = require(opt, 'scale')
        if opt['num_gpu'] != 0 and not torch.cuda.is_available():
            raise OptionError(f"num_gpu: {opt['num_gpu']}, but torch finds no CUDA device; use 0, or auto")
        if opt['dist'] and opt['num_gpu'] == 0 and torch.distributed.get_backend() != 'gloo':
            raise OptionError('num_gpu: 0, but each of several processes has a GPU here; use auto, or hide the GPUs '
                              '(CUDA_VISIBLE_DEVICES=)')
        super().__init__(opt)

    def model_to_device(self, net):
        """BasicSR's, which in several processes asks for a CUDA device, and without one where there is none."""
        if not self.opt['dist']:
            return super().model_to_device(net)
        if self.device.type == 'cpu':
            net = DistributedDataParallel(net.to(self.device), find_unused_parameters=self.opt.get('find_unused_parameters', False))
        else:
            net = super().model_to_device(net)
        # Before each run torch would send buffers anew, and find them changed when the gradients of an earlier run of the step need
        # them: https://github.com/pytorch/pytorch/issues/175024
        net.broadcast_buffers = False
        return net

    def infer(self, net, lq):
        """Runs the network on an image or a tile: (b, 3, h, w) -> (b, 3, scale · h, scale · w)."""
        return run_padded(net, lq, size_multiple(net), self.scale)

    def given(self):
        """What :meth:`infer` needs beside the image of a test: (b, c, scale · h, scale · w), or nothing."""
        return None

    def test(self):
        """Sets ``self.output`` to what the network (its moving average, if there is one) makes of ``self.lq``."""
        net = self.get_bare_model(getattr(self, 'net_g_ema', self.net_g))
        training = net.training
        net.eval()
        with torch.no_grad():
            self.output = run_tiled(lambda *images: self.infer(net, *images), self.lq, self.scale, self.val_options.tile,
                                    self.val_options.tile_overlap, self.given())
        net.train(training)

    def checkpoint_extras(self):
        """What a checkpoint holds beside the weights."""
        return {}

    def training_state_extras(self):
        """What a training state holds beside optimizers and schedulers."""
        return {}

    @master_only
    def save_training_state(self, epoch, current_iter):
        """Writes BasicSR's ``<iteration>.state``, and :meth:`training_state_extras` with it."""
        if current_iter == -1:  # the end of the training
            return
        state = {'epoch': epoch, 'iter': current_iter, 'optimizers': [o.state_dict() for o in self.optimizers],
                 'schedulers': [s.state_dict() for s in self.schedulers], **self.training_state_extras()}
        save_atomically(state, os.path.join(self.opt['path']['training_states'], f'{current_iter}.state'))

    @master_only
    def save_network(self, net, net_label, current_iter, param_key='params'):
        """Writes BasicSR's ``net_g_<iteration>.pth``, and :meth:`checkpoint_extras` with it."""
        nets = net if isinstance(net, list) else [net]
        keys = param_key if isinstance(param_key, list) else [param_key]
        content = {key: {name: value.cpu() for name, value in self.get_bare_model(n).state_dict().items()}
                   for n, key in zip(nets, keys)}
        name = f"{net_label}_{'latest' if current_iter == -1 else current_iter}.pth"
        save_atomically({**content, **self.checkpoint_extras()}, os.path.join(self.opt['path']['models'], name))
