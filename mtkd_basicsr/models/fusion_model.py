"""The trainer of the fusion network, stage 1 of MTKD."""

from collections.abc import Sequence
from typing import Any

import torch

from ..config import MODELS
from ..data.cache.validation import matching_cache
from ..data.packed_batches import to_device
from ..functional.least_squares_mix import normal_equations, solve_mix
from ..functional.tiling import run_tiled
from ..host.api import MODEL_REGISTRY, get_root_logger
from ..teachers import TeacherEnsemble, check_channels, match_teachers
from ..utils.image_tensors import to_tensor
from ..utils.precision import Precision, teacher_precision
from ..utils.registry import register
from ..weights.metadata import METADATA
from ..weights.reading import read_weights
from .base import DistillBase
from .mix_fit import fit_mix


@register(MODEL_REGISTRY)
class MTKDFusionModel(DistillBase):
    """Trains the fusion network ``network_g`` on the outputs of the teachers.

    The teachers are frozen. The target is the ground truth, and the loss is BasicSR's
    ``train.pixel_opt``. Checkpoints store the names of the teachers in order; an initial checkpoint
    determines the order.

    With ``train.mix_batches: n`` and ``skip: learned`` or ``adaptive``, each of the first n steps
    sets the mix of the teachers to the one with the least squared error on all images seen so far.
    No single teacher and no average is better on these images; gradient descent takes thousands of
    steps to find such a mix.

    With ``train.total_iter: 0`` nothing is trained: the mix with the least squared error on all
    images is saved, in a network whose correction is zero.

    Args:
        opt (dict): Options as parsed by BasicSR.

    Raises:
        OptionError: An option cannot be used.
        WeightsError: A weights file cannot be used.
    """

    spec = MODELS['MTKDFusionModel']

    def __init__(self, opt: dict[str, Any]) -> None:
        self.precision: str | None = None
        self._ensemble: TeacherEnsemble | None = None
        super().__init__(opt)
        self.names = list(self.config.teachers)
        self.inputs: torch.Tensor | None = None
        self._image_paths: list[str] | None = None
        check_channels(self.get_bare_model(self.net_g), self.names, 'network_g')
        path = opt['path'].get('pretrain_network_g')
        if path is not None:
            content = read_weights(path, 'path.pretrain_network_g')
            self.names = match_teachers(self.names, content.get(METADATA), path) or self.names
        if not self.is_train or self.cached_names is None:
            for line in self.ensemble.describe():
                get_root_logger().info(line)

    def check_config(self) -> None:
        """Raise if a teacher has no outputs for the validation or test images of stage 1."""
        phase = self.config.measured_phase
        for name, teacher in self.config.teachers.items():
            error = teacher.validation_problem(f'teachers.{name}', phase)
            if error is not None:
                raise error

    def init_training_settings(self) -> None:
        """Prepare a training: match the cache, if there is one, then let BasicSR set up."""
        self._sums: Sequence[torch.Tensor] | None = None
        # Even with a cache, because teachers run in the validations.
        self.use_precisions()
        cached = matching_cache(self.config)
        self.cached_names: list[str] | None = None if cached is None else list(cached.teachers)
        self.cached_precision = None if cached is None else cached.settings.precision
        for name, teacher in self.config.teachers.items():
            if cached is None and not teacher.runs_here:
                raise teacher.cannot_run(f'teachers.{name}')
        super().init_training_settings()

    def choose_precisions(self, saved: dict[str, str]) -> dict[str, tuple[str, Precision]]:
        """Choose the precision of the teachers; with a cache they run only in validations."""
        asked = self.config.speed.teacher_precision
        precision = teacher_precision(asked, self.device, saved.get('teachers'))
        return {'teachers': ('train.teacher_precision', precision)}

    def use_precisions(self, saved: dict[str, str] | None = None) -> None:
        """Set the precisions, including that of teachers that are already built."""
        super().use_precisions(saved)
        self.precision = self.precisions['teachers'][1].name
        if self._ensemble is not None:
            self._ensemble.set_precision(self.precision)

    def precisions_used(self) -> dict[str, str | None]:
        """Return the precisions of the fusion network and the teachers."""
        running = self.precision if self._ensemble is None else self._ensemble.precision
        return {'student': 'fp32', 'teachers': self.cached_precision or running}

    @property
    def ensemble(self) -> TeacherEnsemble:
        """Return the teachers, built on first use.

        With a cache the first use is the first validation, whose images are not in the cache.
        """
        if self._ensemble is None:
            self._ensemble = TeacherEnsemble(
                {name: self.config.teachers[name] for name in self.names},
                self.scale,
                self.device,
                self.precision,
                allow_precomputed=True,
            )
            for warning in self._ensemble.warnings:
                get_root_logger().warning(warning)
        return self._ensemble

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch; its ``teachers``, if any, replace running the teachers."""
        batch = to_device(data, self.device)
        super().feed_data(batch)
        self.inputs = None
        self._image_paths = batch.get('gt_path', batch.get('lq_path'))
        if self.is_train and 'teachers' in batch:
            assert self.cached_names is not None  # a batch with teachers is out of a cache
            outputs = batch['teachers'].split(3, 1)
            by_name = dict(zip(self.cached_names, outputs, strict=True))
            self.inputs = torch.cat([by_name[name] for name in self.names], 1)

    def run_network(self, net: torch.nn.Module, *images: torch.Tensor) -> torch.Tensor:
        """Run the teachers and the fusion network on an image or a tile.

        Args:
            net: The fusion network.
            *images: (b, 3, h, w), and the same region of :meth:`precomputed_outputs`, if any.

        Returns:
            (b, 3, scale · h, scale · w).
        """
        return net(self.ensemble(*images))

    def precomputed_outputs(self) -> torch.Tensor | None:
        """Return the outputs of teachers that do not run here for the test image.

        A test batch has one image.
        """
        if not self.ensemble.precomputed_names:
            return None
        assert self._image_paths is not None  # BasicSR's datasets provide it
        return self.ensemble.precomputed_outputs(
            self._image_paths[0], [self.scale * n for n in self.lq.shape[-2:]], validation=True
        )

    def losses(self, current_iter: int) -> dict[str, torch.Tensor]:
        """Compute BasicSR's losses of the fused outputs of the teachers."""
        self.lq = self.ensemble(self.lq) if self.inputs is None else self.inputs
        if current_iter <= self.config.mix_batches:
            self._fit_mix()
        self.output = self.net_g(self.lq)
        losses = {'l_pix': self.cri_pix(self.output, self.gt)} if self.cri_pix else {}
        if self.cri_perceptual:
            perceptual, style = self.cri_perceptual(self.output, self.gt)
            if perceptual is not None:
                losses['l_percep'] = perceptual
            if style is not None:
                losses['l_style'] = style
        return losses

    def _fit_mix(self) -> None:
        """Set the mix of the teachers by least squares over all batches so far."""
        sums = normal_equations(self.lq, self.gt)
        if self.opt['dist']:
            for matrix in sums:
                torch.distributed.all_reduce(matrix)
        # After the sum, so that all processes return if one of them has such a batch.
        if not all(torch.isfinite(matrix).all() for matrix in sums):
            return  # the loss is not finite either, which is reported later
        if self._sums is not None:
            sums = (sums[0] + self._sums[0], sums[1] + self._sums[1])
        self._sums = sums
        xx, yx = sums
        net = self.get_bare_model(self.net_g)
        self._set_mix(solve_mix(xx, yx, net.mean_mix().to(xx)))

    def _set_mix(self, mix: torch.Tensor) -> None:
        """Set the mix of the network and of its moving average: (3, 3 · N)."""
        net = self.get_bare_model(self.net_g)
        for fusion in (net, getattr(self, 'net_g_ema', net)):
            with torch.no_grad():
                fusion.mix.weight.copy_(mix[:, :, None, None])

    def save(self, epoch: int, current_iter: int) -> None:
        """Write the network and the training state; fit the mix before, if nothing is trained."""
        # BasicSR's loop takes no step then: it comes from its start to its end, which is -1.
        if current_iter == -1 and self.config.only_fits:
            self._fit_all_images()
        super().save(epoch, current_iter)

    def _fit_all_images(self) -> None:
        """Set the mix of the teachers to the best one on all training images, and log its PSNR."""
        cached = self.cached_names is not None
        if not cached:
            get_root_logger().info(
                'train.total_iter: 0: the teachers run over all training images; a fit that is '
                'interrupted starts anew, whereas mtkd cache -opt FILE goes on where it was'
            )
        net = self.get_bare_model(self.net_g)
        fit = fit_mix(
            self.config,
            self.names,
            net.mean_mix(),
            None if cached else self._enlarge,
            self.device,
        )
        self._set_mix(fit.mix)
        source = f"out of '{self.config.target_cache}'" if cached else 'which the teachers enlarged'
        for line in fit.describe(source):
            get_root_logger().info(line)

    def _enlarge(self, path: str, lq: torch.Tensor) -> torch.Tensor:
        """Run the teachers on a training image; see ``Enlarge`` of ``mix_fit.py``."""
        val = self.config.val
        image = to_tensor(lq, self.device)
        return run_tiled(self.ensemble, image, self.scale, val.tile, val.tile_overlap)

    def training_state_extras(self) -> dict[str, Any]:
        """Return the sums from which the mix of the first batches is computed."""
        return {'mix_sums': self._sums}

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Resume a training, including the sums of the mix."""
        sums = resume_state.get('mix_sums')
        self._sums = None if sums is None else [matrix.to(self.device) for matrix in sums]
        super().resume_training(resume_state)

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of a checkpoint, including the teachers in order."""
        return {'teachers': list(self.names), **super().metadata()}
