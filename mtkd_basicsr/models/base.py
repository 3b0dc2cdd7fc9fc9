"""What our models share: tiled inference, watched steps, and checkpoints that are written whole."""

import json
import os
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from ..config import ModelSpec
from ..distillers import training_config
from ..errors import OptionError
from ..functional.padding import run_padded
from ..functional.tiling import run_tiled
from ..host.distributed import of_the_first
from ..host.training_loop import epoch_to_go_on_with
from ..utils.atomic import save_atomically, write_atomically
from ..utils.precision import Precision
from ..utils.progress import on_terminal
from ..utils.random_state import random_state, seed_of, set_random_state, unchanged
from ..utils.version import __version__
from ..weights.loading import fit_weights, pretrained_key, read_weights, state_dict_of
from ..weights.metadata import METADATA
from ..weights.networks import size_multiple
from .checkpoint_rotation import remove_old_checkpoints, remove_unfinished
from .loss_guard import LossGuard

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

# BasicSR's writer for TensorBoard, a package that need not be there; None without it.
Writer: TypeAlias = 'SummaryWriter | None'
Loader: TypeAlias = DataLoader[Any]
Nets: TypeAlias = nn.Module | list[nn.Module]
# Best values of the validations, beside the training states: they are measured after a state is
# written.
_BEST = 'best.json'


class DistillBase(SRModel):
    """BasicSR's ``SRModel`` for networks of any input size, with tiles where ``val.tile`` says so.

    Args:
        opt: Options as parsed by BasicSR.

    Raises:
        OptionError: a key of ours is wrong, or ``num_gpu`` asks for a GPU that is not there.
    """

    # What the options of a training depend on; None for a model that has no keys of its own.
    spec: ClassVar[ModelSpec | None] = None
    lq: torch.Tensor  # BasicSR's feed_data sets it

    def __init__(self, opt: dict[str, Any]) -> None:
        # Before BasicSR takes the options apart: it pops `type` out of several sections.
        self.config = training_config(opt, self.spec)
        self.check_config()
        self.scale = self.config.scale
        if opt['is_train']:
            self.guard = LossGuard(self.config.max_skipped, opt['dist'])
            self._began = {'epoch': 0, 'iter': 0}
            self._image_names: list[str] = []
        if opt['num_gpu'] != 0 and not torch.cuda.is_available():
            raise OptionError(
                f'num_gpu: {opt["num_gpu"]}, but torch finds no CUDA device; use 0, or auto'
            )
        if opt['dist'] and opt['num_gpu'] == 0 and torch.distributed.get_backend() != 'gloo':
            raise OptionError(
                'num_gpu: 0, but each of several processes has a GPU here; use auto, or hide the '
                'GPUs (CUDA_VISIBLE_DEVICES=)'
            )
        super().__init__(opt)

    def check_config(self) -> None:
        """Raise if the options cannot be used with this model; nothing is built yet."""

    # Precision

    def choose_precisions(self, began: dict[str, str]) -> dict[str, tuple[str, Precision]]:
        """Decide what the networks run in.

        Args:
            began: What they ran in where the training began, by the names of the result: ``auto``
                stays that. Empty for a new start.

        Returns:
            Option key and precision, of ``'student'`` and of
            ``'teachers'`` where some are run.
        """
        return {}

    def use_precisions(self, began: dict[str, str] | None = None) -> None:
        """Set what :meth:`choose_precisions` decides, and log it.

        Args:
            began: From a training state; None where the model is built.
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

    def precisions_used(self) -> dict[str, str | None]:
        """Return what the networks run in, for results: ``'bf16'`` or ``'fp32'`` by name.

        ``student`` is the network that is trained; ``teachers`` what its targets or inputs come
        from, be it a cache; ``features`` those that run beside a cache. What is not used has no
        entry; None stands for a cache that does not say.
        """
        raise NotImplementedError

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = 'params'
    ) -> None:
        """Load weights as BasicSR does, without executing anything that the file holds.

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

    def model_to_device(self, net: nn.Module) -> nn.Module:
        """Move and wrap a network as BasicSR does, also in several processes without a GPU."""
        if not self.opt['dist']:
            return super().model_to_device(net)
        if self.device.type == 'cpu':
            wrapped = DistributedDataParallel(
                net.to(self.device),
                find_unused_parameters=self.opt.get('find_unused_parameters', False),
            )
        else:
            wrapped = cast(DistributedDataParallel, super().model_to_device(net))
        # Before each run torch would send buffers anew, and find them changed when the gradients of
        # an earlier run of the step need them: https://github.com/pytorch/pytorch/issues/175024
        wrapped.broadcast_buffers = False
        return wrapped

    # Inference

    def run_network(self, net: nn.Module, lq: torch.Tensor) -> torch.Tensor:
        """Run the network on an image or a tile: (b, 3, h, w) -> (b, 3, scale · h, scale · w)."""
        return run_padded(net, lq, size_multiple(net), self.scale)

    def precomputed_outputs(self) -> torch.Tensor | None:
        """Return what :meth:`run_network` needs beside a test image; None for nothing.

        (b, c, scale · h, scale · w), RGB, [0, 1].
        """
        return None

    def test(self) -> None:
        """Run the network, or its moving average if there is one, on ``self.lq``."""
        net = self.get_bare_model(getattr(self, 'net_g_ema', self.net_g))
        training = net.training
        net.eval()
        with torch.no_grad():
            self.output = run_tiled(
                lambda *images: self.run_network(net, *images),
                self.lq,
                self.scale,
                self.config.val.tile,
                self.config.val.tile_overlap,
                self.precomputed_outputs(),
            )
        net.train(training)

    def validation(
        self, dataloader: Loader, current_iter: int | str, tb_logger: Writer, save_img: bool = False
    ) -> None:
        """Validate as BasicSR does, without a trace in the random numbers of the training."""
        with unchanged():
            super().validation(dataloader, current_iter, tb_logger, save_img)

    def nondist_validation(
        self, dataloader: Loader, current_iter: int | str, tb_logger: Writer, save_img: bool
    ) -> None:
        """Validate as BasicSR does, and keep the best network of a training.

        The network with the best PSNR on the first validation set becomes ``net_g_best.pth``.
        """
        if not on_terminal():
            self.opt['val']['pbar'] = False  # a bar fills a log file with carriage returns
        super().nondist_validation(dataloader, current_iter, tb_logger, save_img)
        if not self.is_train or not self.opt['val'].get('metrics'):
            return
        dataset: Any = dataloader.dataset  # BasicSR's keep their options
        name = dataset.opt['name']
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

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch, as BasicSR's dataset gives it."""
        super().feed_data(data)
        if self.is_train:
            self._image_names = data.get('gt_path', data.get('lq_path', []))

    def seed(self, current_iter: int, use: str) -> int:
        """Return the seed for what is drawn in a step.

        With it a training that was stopped draws what it would have drawn.
        Different uses draw different numbers.
        """
        return seed_of(self.opt['manual_seed'], self.opt['rank'], current_iter, use)

    def optimize_parameters(self, current_iter: int) -> None:
        """Do one step; ``self.log_dict`` holds each loss.

        What it draws, and where it leaves torch's generator, depends on seed, process and iteration
        alone.
        """
        torch.manual_seed(self.seed(current_iter, 'network'))
        self.step(self.losses(current_iter), current_iter)
        torch.manual_seed(self.seed(current_iter, 'next'))

    def losses(self, current_iter: int) -> dict[str, torch.Tensor]:
        """Return the losses of a batch: scalars by log name, whose sum is minimised."""
        raise NotImplementedError

    def step(self, losses: dict[str, torch.Tensor], current_iter: int) -> None:
        """Minimise the sum of losses by one step of the optimizer.

        The step is skipped if one of them is not finite.

        Args:
            losses: Scalars by log name; ``self.log_dict`` gets their values.
            current_iter: Of the training.

        Raises:
            TrainingError: too many steps were skipped.
        """
        self.optimizer_g.zero_grad()
        self.guard.start(losses)
        cast(torch.Tensor, sum(losses.values())).backward()
        self.log_dict = self.guard.values()
        if not self.guard.accepts(self.log_dict, current_iter, self._image_names):
            return
        self.before_step()
        self.optimizer_g.step()
        if self.ema_decay > 0:
            self.model_ema(decay=self.ema_decay)

    def before_step(self) -> None:
        """Do what has to be done between the backward pass and the optimizer's step."""

    # Checkpoints

    def metadata(self) -> dict[str, Any]:
        """Return what a checkpoint says about itself."""
        return {'scale': self.scale, 'precision': self.precisions_used(), 'version': __version__}

    def training_state_extras(self) -> dict[str, Any]:
        """Return what a training state of this model holds beside what all of them hold."""
        return {}

    def save(self, epoch: int, current_iter: int) -> None:
        """Write the network, then the training state, then thin out as ``logger.keep_last`` says.

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
        if self.config.keep_last is not None and self.opt['rank'] == 0:
            path = self.opt['path']
            remove_old_checkpoints(path['models'], path['training_states'], self.config.keep_last)

    @master_only
    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """Write BasicSR's ``<iteration>.state``, and with it what BasicSR does not keep."""
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
    def save_network(
        self, net: Nets, net_label: str, current_iter: int, param_key: str | list[str] = 'params'
    ) -> None:
        """Write BasicSR's ``net_g_<iteration>.pth``, and :meth:`metadata` with it."""
        self._write(net, net_label, 'latest' if current_iter == -1 else current_iter, param_key)

    def _write(self, net: Nets, label: str, name: str | int, param_key: str | list[str]) -> None:
        nets = net if isinstance(net, list) else [net]
        keys = param_key if isinstance(param_key, list) else [param_key]
        content = {
            key: {name: value.cpu() for name, value in self.get_bare_model(n).state_dict().items()}
            for n, key in zip(nets, keys, strict=True)
        }
        save_atomically(
            {**content, METADATA: self.metadata()},
            os.path.join(self.opt['path']['models'], f'{label}_{name}.pth'),
        )

    def _save_networks(self, name: str) -> None:
        ema = hasattr(self, 'net_g_ema')
        self._write(
            [self.net_g, self.net_g_ema] if ema else self.net_g,
            'net_g',
            name,
            ['params', 'params_ema'] if ema else 'params',
        )

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Resume as BasicSR does, with precision, random numbers, best results and epoch."""
        super().resume_training(resume_state)
        # States of 0.1.0, whose option files said what was used, and BasicSR's own have none.
        self.use_precisions(resume_state.get('precision', {}))
        if self.opt['rank'] == 0:
            path = self.opt['path']
            remove_unfinished(path['models'], path['training_states'])
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
