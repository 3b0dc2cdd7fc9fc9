"""The base of all trainers: tiled inference, guarded steps, and atomic checkpoints."""

import json
import os
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from ..config import ModelSpec
from ..data.packed_batches import to_device
from ..distillers import training_config
from ..errors import WeightsError
from ..functional.padding import run_padded
from ..functional.tiling import run_tiled
from ..host.api import get_root_logger, master_only
from ..host.distributed import of_the_first
from ..host.one_gpu import check_gpus
from ..utils.atomic import save_atomically, write_atomically
from ..utils.moving_average import MovingAverage, decay_at
from ..utils.plain_tensors import move_plain_tensors
from ..utils.precision import Precision
from ..utils.progress import on_terminal
from ..utils.random_state import seed_of, unchanged
from ..utils.version import __version__
from ..weights.fitting import fit_weights, refuse_random
from ..weights.metadata import METADATA
from ..weights.networks import size_multiple
from ..weights.reading import read_weights
from ..weights.state_dicts import pretrained_key, warn_of_average
from .checkpoint_rotation import remove_old_checkpoints
from .inference import eager_inference
from .loss_guard import LossGuard, first_not_finite
from .option_changes import recorded_options
from .resuming import BEST, ResumableModel

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

# BasicSR's writer for TensorBoard, an optional package; None without it.
Writer: TypeAlias = 'SummaryWriter | None'
Loader: TypeAlias = DataLoader[Any]
Nets: TypeAlias = nn.Module | list[nn.Module]


class DistillBase(ResumableModel):
    """BasicSR's ``SRModel`` with padding to any input size, and tiles if ``val.tile`` is set.

    Args:
        opt: Options as parsed by BasicSR.

    Raises:
        OptionError: A key of this package is invalid, or ``num_gpu`` asks for a missing GPU.
    """

    # Properties that parsing depends on; None for a model without keys of its own.
    spec: ClassVar[ModelSpec | None] = None
    lq: torch.Tensor  # set by BasicSR's feed_data

    def __init__(self, opt: dict[str, Any]) -> None:
        # Parse before BasicSR modifies the options: it pops `type` from several sections.
        self.config = training_config(opt, self.spec)
        self.check_config()
        self.scale = self.config.scale
        if opt['is_train']:
            self.loss_guard = LossGuard(self.config.max_skipped, opt['dist'])
            self._start = {'epoch': 0, 'iter': 0}
            self._recorded = recorded_options(self.config)
            # Updates of the moving average, last iteration, whether BasicSR's loop is over, and
            # the iteration of the last validation by loader.
            self.ema_updates = 0
            self._average: MovingAverage | None = None
            self._iteration = 0
            self._ended = False
            self._validated: dict[int, int | str] = {}
            self._image_names: list[str] = []
        check_gpus(opt)
        super().__init__(opt)
        if not opt['is_train'] and self.config.pretrained_network is None:
            refuse_random(self.net_g)

    def check_config(self) -> None:
        """Raise if the options do not suit this model, before anything is built."""

    def init_training_settings(self) -> None:
        """Set up the training as BasicSR does; warn of an average that stays at its start."""
        super().init_training_settings()
        if hasattr(self, 'net_g_ema'):
            move_plain_tensors(self.net_g_ema, self.device)
            if self.config.speed.channels_last:
                self.net_g_ema.to(memory_format=torch.channels_last)
        warning = self.config.ema_warning()
        if warning is not None:
            get_root_logger().warning(warning)

    # Precision

    def choose_precisions(self, saved: dict[str, str]) -> dict[str, tuple[str, Precision]]:
        """Choose the precision of the networks.

        Args:
            saved: Precisions at the start of a resumed training, with the same keys as the result.
                ``auto`` keeps them. Empty for a new training.

        Returns:
            Option key and precision of ``'student'``, and of ``'teachers'`` if some run.
        """
        return {}

    def use_precisions(self, saved: dict[str, str] | None = None) -> None:
        """Set the precisions of :meth:`choose_precisions`, and log them.

        Args:
            saved: Precisions from a training state; None if the model is being built.
        """
        self.precisions = self.choose_precisions(saved or {})
        if self.opt['dist']:
            self.precisions = of_the_first(self.precisions)
        if saved is None and self.opt['path'].get('resume_state'):
            return  # the training state, which is read next, may have other precisions
        for key, precision in self.precisions.values():
            get_root_logger().info(f'{key}: {precision.reason}')
            if precision.warning:
                get_root_logger().warning(precision.warning)

    def precisions_used(self) -> dict[str, str | None]:
        """Return the precisions in use, ``'bf16'`` or ``'fp32'`` by name, for results.

        ``student`` is the network that is trained; ``teachers`` are the networks, possibly behind
        a cache, that produce its targets or inputs; ``features`` are teachers that run in addition
        to a cache. Unused networks have no entry; None means that a cache does not record it.
        """
        raise NotImplementedError

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = 'params'
    ) -> None:
        """Load weights as BasicSR does, without executing code from the file.

        Without ``strict``, BasicSR leaves everything random if no name fits; here that is an error.

        Raises:
            WeightsError: The file cannot be read or does not fit; without ``strict``, less than
                half of the network is in it.
        """
        key = 'path.pretrain_network_g'
        net = self.get_bare_model(net)
        content = read_weights(load_path, key)
        param_key = pretrained_key(content, param_key)
        if param_key == 'params_ema' and param_key not in content:
            # BasicSR asks for it for the moving average, whatever the option file names.
            param_key = pretrained_key(content, self.opt['path'].get('param_key_g', 'params'))
        get_root_logger().info(
            f'Loading {type(net).__name__} model from {load_path}, with param key: [{param_key}].'
        )
        if not self.is_train and 'param_key_g' not in self.opt['path']:
            warn_of_average(content, load_path)
        is_average = net is getattr(self, 'net_g_ema', None)
        if is_average:
            # BasicSR built it with random weights of its own; what the file lacks is the student's.
            net.load_state_dict(self.get_bare_model(self.net_g).state_dict())
        try:
            warning = fit_weights(net, content, load_path, key, strict, param_key, self.is_train)
        except WeightsError as error:
            if not self.is_train or not self.opt['path'].get('resume_state'):
                raise
            raise WeightsError(
                f'{error}. They belong to the training state that is resumed: keep its '
                'network_g, or begin a new training'
            ) from error
        if warning is not None and not is_average:
            get_root_logger().warning(warning)

    def model_to_device(self, net: nn.Module) -> nn.Module:
        """Move and wrap a network as BasicSR does, with support for several CPU processes."""
        if self.is_train and self.config.speed.channels_last:
            # Before it is wrapped: DistributedDataParallel lays out its buckets by the strides.
            net = net.to(memory_format=torch.channels_last)
        move_plain_tensors(net, self.device)
        if not self.opt['dist']:
            return super().model_to_device(net)
        if self.device.type == 'cpu':
            wrapped = DistributedDataParallel(
                net.to(self.device),
                find_unused_parameters=self.opt.get('find_unused_parameters', False),
            )
        else:
            wrapped = cast(DistributedDataParallel, super().model_to_device(net))
        # Otherwise torch broadcasts the buffers before each forward pass, which modifies them while
        # the gradients of an earlier pass of the same step still need them:
        # https://github.com/pytorch/pytorch/issues/175024
        wrapped.broadcast_buffers = False
        return wrapped

    # Inference

    def run_network(self, net: nn.Module, lq: torch.Tensor) -> torch.Tensor:
        """Run the network on an image or a tile: (b, 3, h, w) -> (b, 3, scale · h, scale · w)."""
        return run_padded(net, lq, size_multiple(net), self.scale)

    def precomputed_outputs(self) -> torch.Tensor | None:
        """Return the precomputed inputs of :meth:`run_network` for the test image, if any.

        Returns:
            (b, c, scale · h, scale · w), RGB, [0, 1]; None without precomputed inputs.
        """
        return None

    def test(self) -> None:
        """Run the network, or its moving average if there is one, on ``self.lq``."""
        net = self.get_bare_model(getattr(self, 'net_g_ema', self.net_g))
        training = net.training
        net.eval()
        with torch.no_grad(), eager_inference():
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
        """Validate as BasicSR does, without affecting the random numbers of the training.

        After a training BasicSR validates once more, with the number of an iteration that was never
        run. Where the last iteration has been validated, nothing is done.
        """
        if self.is_train:
            if self._ended:
                current_iter = self._iteration
                if self._validated.get(id(dataloader)) == current_iter:
                    return
            self._validated[id(dataloader)] = current_iter
        with unchanged():
            super().validation(dataloader, current_iter, tb_logger, save_img)

    def nondist_validation(
        self, dataloader: Loader, current_iter: int | str, tb_logger: Writer, save_img: bool
    ) -> None:
        """Validate as BasicSR does, and save the best network of a training.

        The network with the best PSNR on the first validation set is ``net_g_best.pth``.
        """
        if not on_terminal():
            self.opt['val']['pbar'] = False  # it would fill a log file with carriage returns
        super().nondist_validation(dataloader, current_iter, tb_logger, save_img)
        if not self.is_train or not self.opt['val'].get('metrics'):
            return
        dataset: Any = dataloader.dataset  # BasicSR's datasets have their options as `opt`
        if self._is_best(dataset.opt['name'], current_iter):
            self._save_networks('best')
        os.makedirs(self.opt['path']['training_states'], exist_ok=True)
        write_atomically(
            os.path.join(self.opt['path']['training_states'], BEST),
            lambda file: file.write(json.dumps(self.best_metric_results).encode()),
        )

    def _is_best(self, dataset_name: str, current_iter: int | str) -> bool:
        """Return whether a validation just gave the best PSNR on the first validation set."""
        sets = self.opt['datasets'].items()
        if dataset_name != next(block['name'] for phase, block in sets if phase != 'train'):
            return False
        for key, metric in self.opt['val']['metrics'].items():
            if metric['type'] == 'calculate_psnr':
                # The record may be of an abandoned training, which had another network then.
                best = self.best_metric_results[dataset_name][key]
                return (best['iter'], best['val']) == (current_iter, self.metric_results[key])
        return False

    # Steps

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch from BasicSR's dataloader, floats or packed bytes."""
        super().feed_data(to_device(data, self.device))
        if self.is_train:
            self._image_names = data.get('gt_path', data.get('lq_path', []))

    def seed(self, current_iter: int, use: str) -> int:
        """Return the seed for the random numbers of a step.

        A resumed training draws the same numbers as one that was not interrupted.

        Args:
            current_iter: Iteration of the training.
            use: Name of the use; different uses draw different numbers.
        """
        return seed_of(self.opt['manual_seed'], self.opt['rank'], current_iter, use)

    def optimize_parameters(self, current_iter: int) -> None:
        """Run one training step; ``self.log_dict`` holds each loss.

        The random numbers drawn, and the state of torch's generator afterwards, depend only on
        seed, process and iteration.
        """
        self._iteration = current_iter
        self.loss_guard.remember(self.get_bare_model(self.net_g))
        torch.manual_seed(self.seed(current_iter, 'network'))
        self.step(self.losses(current_iter), current_iter)
        torch.manual_seed(self.seed(current_iter, 'next'))

    def losses(self, current_iter: int) -> dict[str, torch.Tensor]:
        """Compute the losses of a batch: scalars by log name, whose sum is minimised."""
        raise NotImplementedError

    def step(self, losses: dict[str, torch.Tensor], current_iter: int) -> None:
        """Run one optimizer step on the sum of the losses.

        The step is skipped if a loss is not finite, or with ``train.grad_clip`` the gradient.

        Args:
            losses: Scalars by log name; their values are stored in ``self.log_dict``.
            current_iter: Iteration of the training.

        Raises:
            TrainingError: Too many consecutive steps were skipped.
        """
        self.optimizer_g.zero_grad()
        self.loss_guard.start(losses)
        cast(torch.Tensor, sum(losses.values())).backward()
        self.log_dict = self.loss_guard.values()
        self.before_step()
        if self.config.steps.grad_clip is not None:
            # The gradients, and so their norm, are the same in all processes.
            trained = [p for group in self.optimizer_g.param_groups for p in group['params']]
            norm = torch.nn.utils.clip_grad_norm_(trained, self.config.steps.grad_clip)
            self.log_dict['grad_norm'] = norm.item()
        if not self.loss_guard.accepts(self.log_dict, current_iter, self._image_names):
            return
        self.optimizer_g.step()
        if self.ema_decay > 0:
            warmup = self.config.steps.ema_warmup
            self.model_ema(decay_at(self.ema_updates, self.ema_decay, warmup))
            self.ema_updates += 1

    def model_ema(self, decay: float = 0.999) -> None:
        """Average the parameters as BasicSR does, and copy the buffers, which it leaves out.

        Statistics of BatchNorm would stay those of an untrained network.
        """
        network = self.get_bare_model(self.net_g)
        if self._average is None or not self._average.belongs_to(self.net_g_ema, network):
            self._average = MovingAverage(self.net_g_ema, network)
        self._average.update(decay)

    def before_step(self) -> None:
        """Hook between the backward pass and the optimizer step; does nothing by default."""

    # Checkpoints

    def metadata(self) -> dict[str, Any]:
        """Return the metadata to store in a checkpoint."""
        return {'scale': self.scale, 'precision': self.precisions_used(), 'version': __version__}

    def save(self, epoch: int, current_iter: int) -> None:
        """Write the network and the training state, then remove old ones (``logger.keep_last``).

        If a weight is not finite, nothing is written, so the last good checkpoint remains.
        """
        self._ended = current_iter == -1
        name = first_not_finite(self.get_bare_model(self.net_g))
        if name is not None:
            get_root_logger().error(
                f'iteration {current_iter}: {name} is no longer finite: no checkpoint is written'
            )
            return
        super().save(epoch, current_iter)
        if self.config.keep_last is not None and self.opt['rank'] == 0:
            path = self.opt['path']
            remove_old_checkpoints(
                path['models'], path['training_states'], self.config.keep_last, current_iter
            )

    @master_only
    def save_network(
        self, net: Nets, net_label: str, current_iter: int, param_key: str | list[str] = 'params'
    ) -> None:
        """Write BasicSR's ``net_g_<iteration>.pth`` with :meth:`metadata`."""
        self._write(net, net_label, 'latest' if current_iter == -1 else current_iter, param_key)

    def _write(self, net: Nets, label: str, name: str | int, param_key: str | list[str]) -> None:
        nets = net if isinstance(net, list) else [net]
        keys = param_key if isinstance(param_key, list) else [param_key]
        content: dict[str, Any] = {}
        for bare, key in zip(map(self.get_bare_model, nets), keys, strict=True):
            content[key] = {entry: value.cpu() for entry, value in bare.state_dict().items()}
        content[METADATA] = self.metadata()
        save_atomically(content, os.path.join(self.opt['path']['models'], f'{label}_{name}.pth'))

    def _save_networks(self, name: str) -> None:
        if hasattr(self, 'net_g_ema'):
            self._write([self.net_g, self.net_g_ema], 'net_g', name, ['params', 'params_ema'])
        else:
            self._write(self.net_g, 'net_g', name, 'params')
