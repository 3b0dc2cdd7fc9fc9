"""The methods of one training together: which losses a batch and a student give."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import torch
from torch import nn

from ..config import KDOptions, parse, require
from ..errors import OptionError, did_you_mean
from ..functional.wavelet import where_nearer
from .base import Batch, Method, Step
from .teacher_provider import Context

# Losses of the training itself, by log name, and the keys that they come from.
_OWN = {'l_pix': 'train.pixel_opt', 'l_distill': 'train.distill_opt'}


def _parse(methods: Mapping[str, type[Method]], block: Any, key: str) -> KDOptions:
    # The type alone: which other keys there are depends on it.
    name = parse(
        KDOptions,
        {'type': block['type']} if isinstance(block, dict) and 'type' in block else block,
        key,
    ).type
    if name not in methods:
        raise OptionError(f"{key}.type: unknown method '{name}'; {did_you_mean(name, methods)}")
    return parse(methods[name].Options, block, key)


def _parse_also(methods: Mapping[str, type[Method]], kd: KDOptions) -> list[tuple[KDOptions, str]]:
    """Parse ``train.kd.also``: names, or mappings with a type and the method's keys."""
    parsed: list[tuple[KDOptions, str]] = []
    for i, block in enumerate(kd.also or []):
        key = f'train.kd.also[{i}]'
        options = _parse(methods, {'type': block} if isinstance(block, str) else block, key)
        if not methods[options.type].adds or options.type in [
            kd.type,
            *(other.type for other, _ in parsed),
        ]:
            known = [name for name, method in methods.items() if method.adds and name != kd.type]
            raise OptionError(
                f"{key}: '{options.type}' adds nothing to {kd.type}; expected others of "
                f'{", ".join(known)}'
            )
        for name in ('also', 'anneal', 'selective'):
            if getattr(options, name):
                raise OptionError(
                    f'{key}.{name}: {getattr(options, name)}; only train.kd itself can have it'
                )
        parsed.append((options, key))
    return parsed


def parse_methods(
    methods: Mapping[str, type[Method]], block: Any
) -> tuple[KDOptions, list[tuple[KDOptions, str]]]:
    """Parse ``train.kd`` with all that is in it.

    Args:
        methods: Known methods.
        block: ``train.kd``, as it stands in the option file.

    Returns:
        Options of the method, and a list of ``(options, key)`` of those in ``also``.

    Raises:
        OptionError: an unknown method or key, a value of the wrong type, methods that cannot be
            combined.
    """
    kd = _parse(methods, block, 'train.kd')
    if methods[kd.type].alone and kd.also:
        raise OptionError(
            f'train.kd.also: {kd.also}, but {kd.type} has no teacher; make one of them '
            'train.kd.type'
        )
    for name in ('anneal', 'selective'):
        if methods[kd.type].alone and getattr(kd, name):
            raise OptionError(f'train.kd.{name}: true, but {kd.type} has no teacher; remove it')
    return kd, _parse_also(methods, kd)


class Distiller(nn.Module):
    r"""The losses of a training.

    .. math::
        L = w_p \, l(S(x), y) + w_d \, l(S(x), T(x)) + \sum_{methods} L_m

    with ``train.pixel_opt``, ``train.distill_opt``, the target T(x) of ``train.kd.type`` (one
    teacher's output, or the fused output of all), and what the method and those in
    ``train.kd.also`` add. With ``train.kd.anneal`` all but the first are multiplied by :math:`(1 +
    \cos \pi t) / 2`, t the part of the training that is over; with ``train.kd.selective`` T(x) is
    what :func:`~mtkd_basicsr.functional.wavelet.where_nearer` makes of it. Parameters in here are
    trained with the student.

    Args:
        methods: Known methods.
        block: ``train.kd``, as it stands in the option file.
        opt: All options of the training.
        device: Where the student is.
        student: The bare network that is trained.

    Raises:
        OptionError, WeightsError, CacheError: something in the option file, or a file that it
        names, cannot be used.
    """

    def __init__(
        self,
        methods: Mapping[str, type[Method]],
        block: Any,
        opt: dict[str, Any],
        device: str | torch.device,
        student: nn.Module,
    ) -> None:
        super().__init__()
        kd, also = parse_methods(methods, block)
        main = methods[kd.type]
        if main.needs_target and not main.adds:
            require(opt, 'train', 'distill_opt')
        self.context = Context(opt, device, student, main.fused, kd.teacher, main.alone)
        classes = [main, *(methods[options.type] for options, _ in also)]
        self.needs_target = not main.alone and (
            self.context.distill is not None or any(c.needs_target for c in classes)
        )
        if (self.needs_target and self.context.cached is None) or any(
            c.needs_targets_of_other_images for c in classes
        ):
            self.context.build_target()
        self.methods = nn.ModuleList(
            [
                main(kd, self.context, 'train.kd'),
                *(methods[options.type](options, self.context, key) for options, key in also),
            ]
        )
        self.anneal = kd.anneal
        self.selective = kd.selective
        if kd.selective and self.context.distill is None:
            raise OptionError(
                'train.kd.selective: true, but there is no train.distill_opt whose target it could '
                'choose from'
            )
        self.to(device)

    def losses(
        self, student: Callable[[torch.Tensor], torch.Tensor], batch: Batch
    ) -> dict[str, torch.Tensor]:
        """Compute the losses of one step.

        Args:
            student: The network that is trained: (b, 3, h, w) -> (b, 3, scale · h, scale · w).
            batch: Images.

        Returns:
            Scalars by log name (``l_pix``, ``l_distill``, …); their sum is minimised.

        Raises:
            OptionError: two methods name a loss alike, or one names it ``l_pix`` or ``l_distill``.
        """
        context = self.context
        from_cache = self.needs_target and context.cached is not None
        target, features = context.target_and_features(
            batch.lq, wanted=self.needs_target and not from_cache
        )
        if from_cache:
            target = cast(torch.Tensor, batch.target)[:, context.cached]
        with context.student_tap.reading(batch.lq.shape[-2:]) as own:
            output = student(batch.lq)
        losses = {'l_pix': context.pixel(output, batch.gt)}
        if context.distill is not None and target is not None:
            chosen = where_nearer(output, target, batch.gt) if self.selective else target
            losses['l_distill'] = context.distill(output, chosen)
        step = Step(batch, student, output, target, own, features)
        self._add_losses_of_methods(losses, step)
        if self.anneal:
            weight = (1 + math.cos(math.pi * batch.progress)) / 2
            losses = {
                name: loss if name == 'l_pix' else weight * loss for name, loss in losses.items()
            }
        return losses

    def _add_losses_of_methods(self, losses: dict[str, torch.Tensor], step: Step) -> None:
        owners = dict(_OWN)
        for method in cast(Iterable[Method], self.methods):
            owner = type(method).__name__
            for name, loss in method.losses(step).items():
                if name in owners:
                    raise OptionError(
                        f"train.kd: {owners[name]} and {owner} both have a loss '{name}'; "
                        f'expected a name that no other loss has: rename that of {owner}'
                    )
                owners[name] = owner
                losses[name] = loss

    def describe(self) -> list[str]:
        """Return lines for the log: what the student learns from, and with what."""
        names = ' + '.join(type(method).__name__ for method in self.methods)
        adapters = sum(p.numel() for p in self.parameters())
        return [
            *self.context.describe(),
            f'Method: {names}' + (f', {adapters:,d} parameters of adapters' if adapters else ''),
        ]
