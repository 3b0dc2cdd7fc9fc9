"""What our models share: tiled inference, steps that are watched, and checkpoints that are written
whole.
"""

import json
import os

import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from torch.nn.parallel import DistributedDataParallel

from ..config import check_near_misses, parse_keep_last, parse_max_skipped, parse_val, require
from ..errors import OptionError
from ..functional.padding import run_padded
from ..functional.tiling import run_tiled
from ..host.distributed import of_the_first
from ..host.training_loop import epoch_to_go_on_with
from ..utils.atomic import save_atomically, write_atomically
from ..utils.progress import on_terminal
from ..utils.random_state import random_state, seed_of, set_random_state, unchanged
from ..utils.version import __version__
from ..weights.metadata import METADATA
from ..weights.networks import (
    fit_weights,
    pretrained_key,
    read_weights,
    size_multiple,
    state_dict_of,
)
from .checkpoint_rotation import remove_unfinished, thin
from .loss_guard import LossGuard

# Best values of the validations, beside the training states: they are measured after a state is
# written.
_BEST = 'best.json'


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
        if opt['is_train']:
            self.keep_last = parse_keep_last(opt)
            self.guard = LossGuard(parse_max_skipped(opt), opt['dist'])
            self._began = {'epoch': 0, 'iter': 0}
            self._image_names = []
        if opt['num_gpu'] != 0 and not torch.cuda.is_available():
            raise OptionError(
                f'num_gpu: {opt["num_gpu"]}, but torch finds no CUDA device; use 0, or auto'
            )
        if opt['dist'] and opt['num_gpu'] == 0 and torch.distributed.get_backend() != 'gloo':
            raise OptionError(
                'num_gpu: 0, but each of several processes has a GPU here; use auto, or hide the '
                'GPUs '
                '(CUDA_VISIBLE_DEVICES=)'
            )
        super().__init__(opt)

    # Precision

    def choose_precisions(self, began):
        """Decides what the networks run in.

        Args:
            began (dict[str, str]): What they ran in where the training began, by the names of the
                result: ``auto`` stays that. Empty for a new start.

        Returns:
            dict[str, tuple[str, Precision]]: Option key and precision, of ``'student'`` and of
            ``'teachers'`` where some are run.
        """
        return {}

    def use_precisions(self, began=None):
        """Sets what :meth:`choose_precisions` decides, and says it in the log.

        Args:
            began (dict[str, str] | None): From a training state; None where the model is built.
        """
        self.precisions = self.choose_precisions(began or {})
        if self.opt['dist']:
            self.precisions = of_the_first(self.precisions)
        if began is None and self.opt['path'].get('resume_state'):
            return  # the state that is read next may say something else
        for key, precision in self.precisions.values():
            get_root_logger().info(f'{key}: {precision.reason}')
            if precision.warning:
                get_root_logger().warning(precision.warning)

    def precisions_used(self):
        """What the networks run in, for results: ``'bf16'`` or ``'fp32'`` by name.

        ``student`` is the network that is trained; ``teachers`` what its targets or inputs come
        from, be it a cache; ``features`` those that run beside a cache. What is not used has no
        entry.
        """
        raise NotImplementedError

    def load_network(self, net, load_path, strict=True, param_key='params'):
        """BasicSR's, without executing anything that the file holds.

        Raises:
            WeightsError: the file cannot be read; with ``strict``, it does not fit.
        """
        key = 'path.pretrain_network_g'
        net = self.get_bare_model(net)
        content = read_weights(load_path, key)
        param_key = pretrained_key(content, param_key)
        get_root_logger().info(
            f'Loading {type(net).__name__} model from {load_path}, with param key: [{param_key}].'
        )
        if strict:
            fit_weights(net, content, load_path, key, param_key=param_key)
            return
        # Tensors of other sizes are left out, and logged.
        state = state_dict_of(content, load_path, key, param_key)
        self._print_different_keys_loading(net, state, strict=False)
        net.load_state_dict(state, strict=False)

    def model_to_device(self, net):
        """BasicSR's, which in several processes asks for a CUDA device, and without one where there
        is none.
        """
        if not self.opt['dist']:
            return super().model_to_device(net)
        if self.device.type == 'cpu':
            net = DistributedDataParallel(
                net.to(self.device),
                find_unused_parameters=self.opt.get('find_unused_parameters', False),
            )
        else:
            net = super().model_to_device(net)
        # Before each run torch would send buffers anew, and find them changed when the gradients of
        # an earlier run of the step need
        # them: https://github.com/pytorch/pytorch/issues/175024
        net.broadcast_buffers = False
        return net

    # Inference

    def infer(self, net, lq):
        """Runs the network on an image or a tile: (b, 3, h, w) -> (b, 3, scale · h, scale · w)."""
        return run_padded(net, lq, size_multiple(net), self.scale)

    def given(self):
        """What :meth:`infer` needs beside the image of a test: (b, c, scale · h, scale · w), or
        nothing.
        """
        return None

    def test(self):
        """Sets ``self.output`` to what the network (its moving average, if there is one) makes of
        ``self.lq``.
        """
        net = self.get_bare_model(getattr(self, 'net_g_ema', self.net_g))
        training = net.training
        net.eval()
        with torch.no_grad():
            self.output = run_tiled(
                lambda *images: self.infer(net, *images),
                self.lq,
                self.scale,
                self.val_options.tile,
                self.val_options.tile_overlap,
                self.given(),
            )
        net.train(training)

    def validation(self, dataloader, current_iter, tb_logger, save_img=False):
        """BasicSR's, without a trace in the random numbers of the training."""
        with unchanged():
            super().validation(dataloader, current_iter, tb_logger, save_img)

    def nondist_validation(self, dataloader, current_iter, tb_logger, save_img):
        """BasicSR's; in a training, the network with the best PSNR on the first validation set
        becomes ``net_g_best.pth``.
        """
        if not on_terminal():
            self.opt['val']['pbar'] = False  # a bar fills a log file with carriage returns
        super().nondist_validation(dataloader, current_iter, tb_logger, save_img)
        if not self.is_train or not self.opt['val'].get('metrics'):
            return
        name = dataloader.dataset.opt['name']
        first = next(
            block['name']
            for phase, block in self.opt['datasets'].items()
            if phase.split('_')[0] == 'val'
        )
        psnr = next(
            (
                key
                for key, metric in self.opt['val']['metrics'].items()
                if metric['type'] == 'calculate_psnr'
            ),
            None,
        )
        if (
            name == first
            and psnr is not None
            and self.best_metric_results[name][psnr]['iter'] == current_iter
        ):
            self._save_networks('best')
        os.makedirs(self.opt['path']['training_states'], exist_ok=True)
        write_atomically(
            os.path.join(self.opt['path']['training_states'], _BEST),
            lambda file: file.write(json.dumps(self.best_metric_results).encode()),
        )

    # Steps

    def feed_data(self, data):
        """Takes a batch, as BasicSR's dataset gives it."""
        super().feed_data(data)
        if self.is_train:
            self._image_names = data.get('gt_path', data.get('lq_path', []))

    def seed(self, current_iter, use):
        """Seed for what is drawn in a step: a training that was stopped draws what it would have
        drawn.
        """
        return seed_of(self.opt['manual_seed'], self.opt['rank'], current_iter, use)

    def optimize_parameters(self, current_iter):
        """One step; ``self.log_dict`` holds each loss.

        What it draws, and where it leaves torch's generator, depends on seed, process and iteration
        alone.
        """
        torch.manual_seed(self.seed(current_iter, 'network'))
        self.step(self.losses(current_iter), current_iter)
        torch.manual_seed(self.seed(current_iter, 'next'))

    def losses(self, current_iter):
        """Losses of a batch: scalars by log name, whose sum is minimised."""
        raise NotImplementedError

    def step(self, losses, current_iter):
        """Minimises the sum of losses by one step of the optimizer; skips it where one of them is
        not finite.

        Args:
            losses (dict[str, Tensor]): Scalars by log name; ``self.log_dict`` gets their values.
            current_iter (int): Of the training.

        Raises:
            TrainingError: too many steps were skipped.
        """
        self.optimizer_g.zero_grad()
        self.guard.start(losses)
        sum(losses.values()).backward()
        self.log_dict = self.guard.values()
        if not self.guard.accepts(self.log_dict, current_iter, self._image_names):
            return
        self.before_step()
        self.optimizer_g.step()
        if self.ema_decay > 0:
            self.model_ema(decay=self.ema_decay)

    def before_step(self):
        """Between the backward pass and the optimizer's step."""

    # Checkpoints

    def metadata(self):
        """What a checkpoint says about itself."""
        return {'scale': self.scale, 'precision': self.precisions_used(), 'version': __version__}

    def training_state_extras(self):
        """What a training state holds beside optimizers, schedulers, random numbers and best
        results.
        """
        return {}

    def save(self, epoch, current_iter):
        """Writes the network, then the training state, then removes what ``logger.keep_last``
        leaves out.

        A network with weights that are not finite is not written: the last checkpoint before stays
        the last.
        """
        broken = next(
            (
                name
                for name, p in self.get_bare_model(self.net_g).named_parameters()
                if not torch.isfinite(p).all()
            ),
            None,
        )
        if broken is not None:
            get_root_logger().error(
                f'iteration {current_iter}: {broken} is not finite any more: no checkpoint is '
                'written'
            )
            return
        super().save(epoch, current_iter)
        if self.keep_last is not None and self.opt['rank'] == 0:
            thin(self.opt['path'], self.keep_last)

    @master_only
    def save_training_state(self, epoch, current_iter):
        """Writes BasicSR's ``<iteration>.state``, and with it what BasicSR does not keep."""
        if current_iter == -1:  # the end of the training
            return
        state = {
            'epoch': epoch,
            'iter': current_iter,
            'optimizers': [o.state_dict() for o in self.optimizers],
            'schedulers': [s.state_dict() for s in self.schedulers],
            'began': self._began,
            'seed': self.opt['manual_seed'],
            'precision': {name: precision.name for name, (_, precision) in self.precisions.items()},
            'random': random_state(),
            **self.training_state_extras(),
        }
        save_atomically(
            state, os.path.join(self.opt['path']['training_states'], f'{current_iter}.state')
        )

    @master_only
    def save_network(self, net, net_label, current_iter, param_key='params'):
        """Writes BasicSR's ``net_g_<iteration>.pth``, and :meth:`metadata` with it."""
        self._write(net, net_label, 'latest' if current_iter == -1 else current_iter, param_key)

    def _write(self, net, label, name, param_key):
        nets = net if isinstance(net, list) else [net]
        keys = param_key if isinstance(param_key, list) else [param_key]
        content = {
            key: {name: value.cpu() for name, value in self.get_bare_model(n).state_dict().items()}
            for n, key in zip(nets, keys)
        }
        save_atomically(
            {**content, METADATA: self.metadata()},
            os.path.join(self.opt['path']['models'], f'{label}_{name}.pth'),
        )

    def _save_networks(self, name):
        ema = hasattr(self, 'net_g_ema')
        self._write(
            [self.net_g, self.net_g_ema] if ema else self.net_g,
            'net_g',
            name,
            ['params', 'params_ema'] if ema else 'params',
        )

    def resume_training(self, resume_state):
        """BasicSR's; and precision, random numbers, the best results, and the epoch that comes
        next.
        """
        super().resume_training(resume_state)
        # States of 0.1.0, whose option files said what was used, and BasicSR's own have none.
        self.use_precisions(resume_state.get('precision', {}))
        if self.opt['rank'] == 0:
            remove_unfinished(self.opt['path'])
        best = os.path.join(self.opt['path']['training_states'], _BEST)
        if os.path.isfile(best):
            with open(best, encoding='utf-8') as file:
                self.best_metric_results = json.load(file)
        if 'began' in resume_state:  # BasicSR's own states have none of it
            # BasicSR reads the epoch after this.
            resume_state['epoch'] = epoch_to_go_on_with(self.opt, resume_state)
            self.opt['manual_seed'] = resume_state['seed']
            if self.opt['rank'] == 0:  # whose numbers they are
                set_random_state(resume_state['random'])
        self._began = {'epoch': resume_state['epoch'], 'iter': resume_state['iter']}
