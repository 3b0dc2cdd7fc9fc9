"""The frozen networks that a student learns from."""

import functools

import torch
from torch import nn

from .checkpoints import METADATA
from .errors import OptionError
from .functional.padding import run_padded
from .networks import build, load_weights, size_multiple


class Frozen(nn.Module):
    """A module that is never trained: ``eval()`` for ever, no gradients, no part in anybody's training mode."""

    def freeze(self, device):
        """Call at the end of ``__init__``: moves everything to the device, for good."""
        self.to(device)
        if torch.device(device).type == 'cuda':
            self.to(memory_format=torch.channels_last)
        self.requires_grad_(False)
        super().train(False)

    def train(self, mode=True):
        return self


def _use_bf16(device, precision):
    return precision == 'bf16' if precision else torch.device(device).type == 'cuda'


class TeacherEnsemble(Frozen):
    """Several super-resolution networks, ordered, named and frozen.

    Args:
        teachers (dict[str, TeacherOptions]): By name; their order is the order of the outputs.
        scale (int): What each of them has to enlarge by.
        device: Where they run.
        precision (str | None): ``'fp32'``, or ``'bf16'`` for autocast; None is bf16 on a GPU and fp32 on a CPU.

    Raises:
        OptionError: a network cannot be built, or its output does not have the size that ``scale`` asks for.
        WeightsError: a file with weights is missing or does not fit.

    Shape:
        - Input: (b, 3, h, w), RGB, [0, 1], any size: each network gets it padded as it needs.
        - Output: (b, 3 · N, scale · h, scale · w), RGB, cut to [0, 1].
    """

    def __init__(self, teachers, scale, device='cpu', precision=None):
        super().__init__()
        self.scale = scale
        self.names = list(teachers)
        self.networks = nn.ModuleList()
        for name, options in teachers.items():
            key = f'teachers.{name}'
            net = build(options.network, f'{key}.network')
            load_weights(net, options.weights, f'{key}.weights', options.strict, options.param_key)
            self.networks.append(net)
        self.freeze(device)
        self.autocast = functools.partial(torch.autocast, torch.device(device).type, torch.bfloat16,
                                          enabled=_use_bf16(device, precision))
        for name, net in zip(self.names, self.networks):
            self._check_scale(name, net, device)

    def _check_scale(self, name, net, device):
        multiple = size_multiple(net)
        size = -(-16 // multiple) * multiple
        x = torch.zeros(1, 3, size, size, device=device)
        try:
            with torch.no_grad(), self.autocast():
                shape = tuple(net(x).shape)
        except RuntimeError as error:
            raise OptionError(f'teachers.{name}: fails for input {tuple(x.shape)}: {error}') from error
        expected = (1, 3, size * self.scale, size * self.scale)
        if shape != expected:
            raise OptionError(f'teachers.{name}: output {shape} for input {tuple(x.shape)}; scale is {self.scale}, '
                              f'expected {expected}')

    def _run(self, net, lq):
        with torch.no_grad(), self.autocast():
            return run_padded(net, lq, size_multiple(net), self.scale).float()

    def reorder(self, names):
        """Puts the teachers into the order of ``names``, the same names in any order."""
        index = [self.names.index(name) for name in names]
        self.networks = nn.ModuleList(self.networks[i] for i in index)
        self.names = list(names)

    def forward(self, lq):
        """(b, 3, h, w) -> (b, 3 · N, scale · h, scale · w)."""
        return torch.cat([self._run(net, lq) for net in self.networks], 1).clamp_(0, 1)

    def describe(self):
        """One line for each teacher."""
        return [f'Teacher {name}: {type(net).__name__}, {sum(p.numel() for p in net.parameters()):,d} parameters'
                for name, net in zip(self.names, self.networks)]


def match_teachers(names, metadata, path):
    """The order of teachers that a fusion checkpoint was trained with.

    Args:
        names (list[str]): Teachers of the option file.
        metadata (dict | None): What the checkpoint says, if it says anything.
        path (str): The checkpoint, for messages.

    Returns:
        list[str] | None: The order; None if the checkpoint does not name its teachers.

    Raises:
        OptionError: the option file names other teachers.
    """
    trained = None if metadata is None else metadata.get('teachers')
    if trained is None:
        return None
    missing, unknown = [n for n in trained if n not in names], [n for n in names if n not in trained]
    if missing or unknown:
        raise OptionError(f"teachers: {', '.join(names)}; the fusion network '{path}' was trained with "
                          f"{', '.join(trained)}" + (f"; missing: {', '.join(missing)}" if missing else '')
                          + (f"; unknown to it: {', '.join(unknown)}" if unknown else ''))
    return list(trained)


def check_channels(network, teachers, key):
    """Refuses a fusion network whose input channels are not three for each teacher.

    Args:
        network (nn.Module): Fusion network.
        teachers (list[str]): Names.
        key (str): Where the network stands in the option file.

    Raises:
        OptionError: they do not fit.
    """
    channels = getattr(network, 'in_chans', None)
    if channels is not None and channels != 3 * len(teachers):
        raise OptionError(f"{key}.in_chans: {channels}; expected {3 * len(teachers)}, 3 for each of the "
                          f"{len(teachers)} teachers {', '.join(teachers)}")


class FusedTeachers(Frozen):
    """The target of the second stage: all teachers, and the frozen network that fuses their outputs.

    Args:
        ensemble (TeacherEnsemble): The teachers; put into the order that the fusion network was trained with.
        fusion (TeacherOptions): The fusion network.
        device: Where it runs.

    Raises:
        OptionError, WeightsError: the fusion network cannot be built, loaded, or belongs to other teachers.

    Shape:
        - Input: (b, 3, h, w), RGB, [0, 1].
        - Output: (b, 3, scale · h, scale · w), RGB, cut to [0, 1].
    """

    def __init__(self, ensemble, fusion, device='cpu'):
        super().__init__()
        self.ensemble = ensemble
        self.fusion = build(fusion.network, 'fusion.network')
        check_channels(self.fusion, ensemble.names, 'fusion.network')
        content = load_weights(self.fusion, fusion.weights, 'fusion.weights', fusion.strict, fusion.param_key)
        order = match_teachers(ensemble.names, content.get(METADATA), fusion.weights)
        self.order_known = order is not None
        ensemble.reorder(order or ensemble.names)
        self.freeze(device)

    def forward(self, lq):
        """(b, 3, h, w) -> (b, 3, scale · h, scale · w)."""
        outputs = self.ensemble(lq)
        with torch.no_grad(), self.ensemble.autocast():
            return self.fusion(outputs).float().clamp_(0, 1)

    def describe(self):
        """One line for each network, in the order in which they are used."""
        lines = self.ensemble.describe()
        size = sum(p.numel() for p in self.fusion.parameters())
        lines.append(f"Fusion: {type(self.fusion).__name__}, {size:,d} parameters, over {', '.join(self.ensemble.names)}")
        if not self.order_known:
            lines.append('Fusion: its checkpoint does not name its teachers; they are taken in the order of the option file')
        return lines

