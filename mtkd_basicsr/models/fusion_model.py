"""The first stage of MTKD."""

from collections.abc import Sequence
from typing import Any

import torch
from basicsr.utils import get_root_logger
from basicsr.utils.registry import MODEL_REGISTRY

from ..config import MODELS
from ..data.cache.validation import matching_cache
from ..functional.least_squares_mix import normal_equations, solve_mix
from ..teachers import TeacherEnsemble, check_channels, match_teachers
from ..utils.precision import Precision, teacher_precision
from ..utils.registry import register
from ..weights.loading import read_weights
from ..weights.metadata import METADATA
from .base import DistillBase


@register(MODEL_REGISTRY)
class MTKDFusionModel(DistillBase):
    """Trains ``network_g``, the fusion network, on the outputs of the frozen ``teachers``, against
    the ground truth.

    The loss is BasicSR's ``train.pixel_opt``. Checkpoints hold the names of the teachers in their
    order; a checkpoint that training or testing starts from decides about the order.

    With ``train.mix_batches: n`` and ``skip: learned`` the mix of the teachers is set, in each of
    the first n steps, to the one with the least squared error on all images seen until then. No
    single teacher and no average is better on them, which gradient descent takes thousands of steps
    to find.

    Args:
        opt (dict): Options as parsed by BasicSR.

    Raises:
        OptionError, WeightsError: something in the option file, or a file that it names, cannot be
        used.
    """

    spec = MODELS['MTKDFusionModel']

    def __init__(self, opt: dict[str, Any]) -> None:
        self.precision: str | None = None
        self._ensemble: TeacherEnsemble | None = None
        super().__init__(opt)
        self.names = list(self.config.teachers)
        self.inputs: torch.Tensor | None = None
        self._image: list[str] | None = None
        check_channels(self.get_bare_model(self.net_g), self.names, 'network_g')
        path = opt['path'].get('pretrain_network_g')
        if path is not None:
            content = read_weights(path, 'path.pretrain_network_g')
            self.names = match_teachers(self.names, content.get(METADATA), path) or self.names
        if not self.is_train or self.cached_names is None:
            for line in self.ensemble.describe():
                get_root_logger().info(line)

    def check_config(self) -> None:
        """Raise if a teacher has no outputs for the images that stage 1 is measured on."""
        phase = self.config.measured_phase
        for name, teacher in self.config.teachers.items():
            error = teacher.validation_problem(f'teachers.{name}', phase)
            if error is not None:
                raise error

    def init_training_settings(self) -> None:
        """Prepare a training: its cache, if there is one, and what BasicSR sets up."""
        self._sums: Sequence[torch.Tensor] | None = None
        # Now, although with a cache no teacher runs before the first validation.
        self.use_precisions()
        cached = matching_cache(self.config)
        self.cached_names: list[str] | None = None if cached is None else list(cached.teachers)
        self.cached_precision = None if cached is None else cached.settings.precision
        for name, teacher in self.config.teachers.items():
            if cached is None and not teacher.runs_here:
                raise teacher.cannot_run(f'teachers.{name}')
        super().init_training_settings()

    def choose_precisions(self, began: dict[str, str]) -> dict[str, tuple[str, Precision]]:
        """Decide what the teachers run in; with a cache they run in the validations alone."""
        asked = self.config.speed.teacher_precision
        precision = teacher_precision(asked, self.device, began.get('teachers'))
        return {'teachers': ('train.teacher_precision', precision)}

    def use_precisions(self, began: dict[str, str] | None = None) -> None:
        """Set the precisions, also of the teachers, which may be built before."""
        super().use_precisions(began)
        self.precision = self.precisions['teachers'][1].name
        if self._ensemble is not None:
            self._ensemble.set_precision(self.precision)

    def precisions_used(self) -> dict[str, str | None]:
        """Return what the fusion network and the teachers run in."""
        running = self.precision if self._ensemble is None else self._ensemble.precision
        return {'student': 'fp32', 'teachers': self.cached_precision or running}

    @property
    def ensemble(self) -> TeacherEnsemble:
        """Return the teachers.

        With a cache they are built for the first validation: its images are not in the cache.
        """
        if self._ensemble is None:
            self._ensemble = TeacherEnsemble(
                {name: self.config.teachers[name] for name in self.names},
                self.scale,
                self.device,
                self.precision,
                allow_precomputed=True,
            )
        return self._ensemble

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch; ``teachers`` in it stands in for their run."""
        super().feed_data(data)
        self.inputs = None
        self._image = data.get('gt_path', data.get('lq_path'))
        if 'teachers' in data:
            assert self.cached_names is not None  # a batch with teachers is out of a cache
            outputs = data['teachers'].to(self.device).split(3, 1)
            parts = dict(zip(self.cached_names, outputs, strict=True))
            self.inputs = torch.cat([parts[name] for name in self.names], 1)

    def run_network(self, net: torch.nn.Module, *images: torch.Tensor) -> torch.Tensor:
        """Run the teachers and the fusion network on an image or a tile.

        Args:
            net: The fusion network.
            *images: (b, 3, h, w); with it what :meth:`precomputed_outputs` has for the same place.

        Returns:
            (b, 3, scale · h, scale · w).
        """
        return net(self.ensemble(*images))

    def precomputed_outputs(self) -> torch.Tensor | None:
        """Return what teachers that do not run here have made of the image of a test.

        A batch of a test has one image.
        """
        if not self.ensemble.precomputed_names:
            return None
        assert self._image is not None  # BasicSR's datasets give the path of each image
        return self.ensemble.precomputed_outputs(
            self._image[0], [self.scale * n for n in self.lq.shape[-2:]], validation=True
        )

    def losses(self, current_iter: int) -> dict[str, torch.Tensor]:
        """Return BasicSR's losses; ``network_g`` is given what the teachers make of the image."""
        self.lq = self.ensemble(self.lq) if self.inputs is None else self.inputs
        if current_iter <= self.config.mix_batches:
            self._fit_mix()
        self.output = self.net_g(self.lq)
        losses = {'l_pix': self.cri_pix(self.output, self.gt)} if self.cri_pix else {}
        if self.cri_perceptual:
            parts = self.cri_perceptual(self.output, self.gt)
            for name, loss in zip(('l_percep', 'l_style'), parts, strict=True):
                if loss is not None:
                    losses[name] = loss
        return losses

    def _fit_mix(self) -> None:
        sums = normal_equations(self.lq, self.gt)
        if not all(torch.isfinite(part).all() for part in sums):
            return  # the loss will not be finite either, and says so
        if self.opt['dist']:
            for part in sums:
                torch.distributed.all_reduce(part)
        if self._sums is None:
            self._sums = sums
        else:
            self._sums = [a + b for a, b in zip(self._sums, sums, strict=True)]
        xx, yx = self._sums
        net = self.get_bare_model(self.net_g)
        mix = solve_mix(xx, yx, net.mean_mix().to(xx))
        for each in (net, getattr(self, 'net_g_ema', net)):
            with torch.no_grad():
                each.mix.weight.copy_(mix[:, :, None, None])

    def training_state_extras(self) -> dict[str, Any]:
        """Return what the mix of the first batches is computed from."""
        return {'mix_sums': self._sums}

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Resume a training, with the sums of the mix."""
        sums = resume_state.get('mix_sums')
        self._sums = None if sums is None else [part.to(self.device) for part in sums]
        super().resume_training(resume_state)

    def metadata(self) -> dict[str, Any]:
        """Return what a checkpoint says about itself, with the teachers in their order."""
        return {'teachers': list(self.names), **super().metadata()}
