"""The networks that the methods of one training share: the student, and as many frozen ones as
somebody asks for.
"""

from contextlib import ExitStack

import torch

from ..config import parse_fusion, parse_speed, parse_teachers, require
from ..data.cache.validation import matching_cache
from ..errors import OptionError, did_you_mean
from ..losses.build import build
from ..teachers import FusedTeachers, TeacherEnsemble
from .features import FeatureTap


class Context:
    """Student, teachers, and the losses against ground truth and target.

    Args:
        opt (dict): All options of the training.
        device: Where the student is.
        student (nn.Module): The bare network that is trained.
        fused (bool): Whether the target is the fused output of all teachers.
        teacher (str | None): Which teacher's output the target is otherwise, and whose features
            are read where a method names none.
        alone (bool): Whether there are no teachers at all.

    Attributes:
        pixel, distill: Losses, (pred, target) -> scalar; ``distill`` is None where
        ``train.distill_opt`` is left out.
        ensembles (dict[str, TeacherEnsemble]): Teachers that were built, by name.
        fused_teachers (FusedTeachers | None): The target's network, where it was built.
        cached (slice | None): Which channels of a cached batch are the target; None without a
            cache.
        cached_precision (str | None): What the networks ran in that made them.
    """

    def __init__(self, opt, device, student, fused, teacher, alone):
        self.opt = opt
        self.device = device
        self.scale = require(opt, 'scale')
        self.precision = parse_speed(opt).teacher_precision
        self.pixel = build(require(opt, 'train', 'pixel_opt'), 'train.pixel_opt').to(device)
        block = opt['train'].get('distill_opt')
        self.distill = None if block is None else build(block, 'train.distill_opt').to(device)
        self.fused = fused
        self.student_tap = FeatureTap(student)
        self._taps = {}
        self.ensembles = {}
        self.fused_teachers = None
        self.cached = None
        self.cached_precision = None
        self.teachers = {} if alone else parse_teachers(opt)
        # Where the target is fused, it is whose features are read, if one is named.
        self.teacher = (
            None
            if alone or (fused and teacher is None)
            else self._choose(teacher, 'train.kd.teacher')
        )
        manifest = (
            None
            if alone
            else matching_cache(
                opt, 'target' if fused else 'teachers', None if fused else [self.teacher]
            )
        )
        if manifest is not None:
            start = 0 if fused else 3 * list(manifest['teachers']).index(self.teacher)
            self.cached = slice(start, start + 3)
            self.cached_precision = manifest['made_with'].get('precision')

    def _choose(self, name, key):
        if name is None and len(self.teachers) == 1:
            return next(iter(self.teachers))
        if name not in self.teachers:
            raise OptionError(
                f'{key}: {name!r}; name one of the teachers; {did_you_mean(name, self.teachers)}'
            )
        return name

    def teacher_of(self, options, key):
        """Name of the teacher whose features a method compares with."""
        return self._choose(options.teacher or self.teacher, f'{key}.teacher')

    def build_target(self):
        """Builds what :meth:`target` needs. Comes before the methods, which share its networks."""
        if not self.fused:
            self._ensemble_of(self.teacher)
            return
        fusion = parse_fusion(self.opt) or require(self.opt, 'fusion')
        ensemble = TeacherEnsemble(self.teachers, self.scale, self.device, self.precision)
        self.fused_teachers = FusedTeachers(ensemble, fusion, self.device)
        self.ensembles = dict.fromkeys(self.teachers, ensemble)

    def _ensemble_of(self, name):
        if name not in self.ensembles:
            self.ensembles[name] = TeacherEnsemble(
                {name: self.teachers[name]}, self.scale, self.device, self.precision
            )
        return self.ensembles[name]

    def set_precision(self, precision):
        """From now on all frozen networks run in ``'fp32'`` or ``'bf16'``."""
        self.precision = precision
        for network in filter(None, (*self.ensembles.values(), self.fused_teachers)):
            network.set_precision(precision)

    def network(self, name):
        """One frozen teacher, bare."""
        ensemble = self._ensemble_of(name)
        return ensemble.networks[ensemble.names.index(name)]

    def autocast(self, name):
        """The precision that a teacher runs in, as a context manager."""
        return self._ensemble_of(name).autocast()

    def teacher_tap(self, name):
        """The tap of a teacher; there is one."""
        if name not in self._taps:
            self._taps[name] = FeatureTap(self.network(name))
        return self._taps[name]

    def target(self, lq):
        """What the student shall make of images: (b, 3, h, w) -> (b, 3, scale · h, scale · w),
        without gradients.
        """
        return (self.fused_teachers or self._ensemble_of(self.teacher))(lq)

    def target_and_features(self, lq, wanted):
        """The target, and the features of all teachers that somebody reads.

        Teachers run once. Where the target is not wanted, they run as far as the last feature.

        Args:
            lq (Tensor): (b, 3, h, w).
            wanted (bool): Whether the target has to be computed.

        Returns:
            tuple[Tensor | None, dict]: (b, 3, scale · h, scale · w), and features by teacher and
            position.
        """
        features = {}
        target = None
        taps = {name: tap for name, tap in self._taps.items() if tap.positions}
        if wanted:
            with ExitStack() as stack:
                features = {
                    name: stack.enter_context(tap.reading(lq.shape[-2:]))
                    for name, tap in taps.items()
                    if self.fused or name == self.teacher
                }
                target = self.target(lq)
        for name, tap in taps.items():
            if name not in features:
                with torch.no_grad(), self.autocast(name):
                    features[name] = tap.features(lq)
        return target, features

    def describe(self):
        """Lines for the log: what the student learns from."""
        if self.fused_teachers is not None:
            return self.fused_teachers.describe()
        return [line for ensemble in self.ensembles.values() for line in ensemble.describe()]
