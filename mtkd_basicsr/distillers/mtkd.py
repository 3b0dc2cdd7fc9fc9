"""MTKD, second stage."""

from ..data.matching import matching_cache
from ..losses.build import build
from ..options import parse_fusion, parse_teachers, require
from ..teachers import FusedTeachers, TeacherEnsemble
from .base import Distiller


class MTKD(Distiller):
    r"""Multi-teacher knowledge distillation: the student learns from the fused output of all teachers.

    .. math::
        L = w_d \, \mathrm{wavelet}(S(x), A(T_1(x), \dots, T_N(x))) + w_p \, \overline{|S(x) - y|}

    Jiang, Feng, Zhang, Bull: *Multi-Teacher Knowledge Distillation for Image Super-Resolution*, ECCV 2024,
    https://arxiv.org/abs/2404.09571; there w_d = 1 (``train.distill_opt``) and w_p = 0.1 (``train.pixel_opt``).
    """

    def __init__(self, opt, device):
        super().__init__(opt, device)
        self.pixel = build(require(opt, 'train', 'pixel_opt'), 'train.pixel_opt')
        self.distill = build(require(opt, 'train', 'distill_opt'), 'train.distill_opt')
        self.to(device)
        teachers, fusion = parse_teachers(opt), parse_fusion(opt) or require(opt, 'fusion')
        self.target = None
        if matching_cache(opt, 'target') is None:
            self.target = FusedTeachers(TeacherEnsemble(teachers, require(opt, 'scale'), device), fusion, device)

    def losses(self, student, batch):
        target = self.target(batch.lq) if batch.target is None else batch.target
        output = student(batch.lq)
        return {'l_pix': self.pixel(output, batch.gt), 'l_distill': self.distill(output, target)}

    def describe(self):
        return [] if self.target is None else self.target.describe()
