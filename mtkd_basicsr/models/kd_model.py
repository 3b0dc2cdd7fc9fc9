"""The trainers of students."""

import itertools
from typing import Any

import torch

from ..config import MODELS
from ..data.packed_batches import to_device
from ..distillers import Batch, Distiller, TeacherProvider
from ..errors import OptionError, WeightsError
from ..host.api import MODEL_REGISTRY, get_root_logger
from ..host.distributed import average_gradients, broadcast_parameters
from ..utils.choices import COMPILED_GRAPHS, CUDA_GRAPHS, PLAIN_GRAPHS
from ..utils.json_types import of_other_types, to_json_types
from ..utils.precision import Precision, student_precision, teacher_precision
from ..utils.registry import register
from .base import DistillBase
from .initial_weights import he_initialise


@register(MODEL_REGISTRY)
class KDModel(DistillBase):
    """Trains the student ``network_g`` with the method ``train.kd.type``.

    Validation and testing are BasicSR's, against the ground truth; they need neither teachers nor a
    fusion network.

    Args:
        opt (dict): Options as parsed by BasicSR.

    Raises:
        OptionError: An option cannot be used.
        WeightsError: A weights file cannot be used.
    """

    spec = MODELS['KDModel']

    def check_config(self) -> None:
        """Raise if this version of torch cannot compile the student as asked for."""
        mode = self.config.speed.compile
        if mode in CUDA_GRAPHS and not hasattr(torch.compiler, 'set_stance'):
            # Validations would compile, and record graphs, for each size of an image.
            raise OptionError(
                f'train.compile: {mode}, which needs torch 2.6 or later, not {torch.__version__}; '
                'use true'
            )

    def init_training_settings(self) -> None:
        """Prepare a training: build the distiller, set precisions, then let BasicSR set up."""
        student = self.get_bare_model(self.net_g)
        if self.config.steps.init is not None and self.config.pretrained_network is None:
            he_initialise(student)
            if self.opt['dist']:
                broadcast_parameters(student.parameters())
        # Before BasicSR sets up the optimizer, which needs the distiller's parameters. The random
        # initial weights of teachers and adapters must not change the random numbers that a
        # student with drop path draws later.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == 'cuda' else []):
            teachers = TeacherProvider(self.config, self.device, student)
            self.distiller = Distiller(self.config, teachers)
        parameters = dict(self.distiller.named_parameters())
        if self.opt['dist']:
            broadcast_parameters(parameters.values())
        # Without the frozen networks of losses and methods: weight decay would change them.
        self.adapters = {name: p for name, p in parameters.items() if p.requires_grad}
        for line in self.distiller.describe():
            get_root_logger().info(line)
        for warning in self.distiller.teachers.warnings():
            get_root_logger().warning(warning)
        self.use_precisions()
        super().init_training_settings()
        if self.config.speed.compile:
            self._compile_student()

    def _compile_student(self) -> None:
        """Compile the student, or record its kernels and those of the teachers."""
        # What was compiled for another student of the same class in this process does not see the
        # hooks of this one, with which features are read.
        torch.compiler.reset()
        mode = self.config.speed.compile
        student = self.get_bare_model(self.net_g)
        if mode in CUDA_GRAPHS and self.device.type != 'cuda':
            same = str(mode == COMPILED_GRAPHS).lower()
            get_root_logger().warning(
                f'train.compile: {mode}; CUDA graphs need a GPU, so that this is the same as {same}'
            )
        if mode != PLAIN_GRAPHS:
            student.compile(mode=mode if isinstance(mode, str) else None)
        elif self.device.type == 'cuda':
            student.compile(backend=PLAIN_GRAPHS)
            self.distiller.teachers.record_graphs()

    def choose_precisions(self, saved: dict[str, str]) -> dict[str, tuple[str, Precision]]:
        """Choose the precision of the student, and of teachers and fusion network if they run."""
        student = student_precision(self.config.speed.amp, self.device, saved.get('student'))
        chosen = {'student': ('train.amp', student)}
        if self.distiller.teachers.ensembles:
            teachers = teacher_precision(
                self.config.speed.teacher_precision, self.device, saved.get('teachers')
            )
            chosen['teachers'] = ('train.teacher_precision', teachers)
        return chosen

    def use_precisions(self, saved: dict[str, str] | None = None) -> None:
        """Set the precisions, including those of the teachers and the fusion network."""
        super().use_precisions(saved)
        self.amp = self.precisions['student'][1].name == 'bf16'
        self.distiller.teachers.student_precision = self.precisions['student'][1].name
        if 'teachers' in self.precisions:
            self.distiller.teachers.set_precision(self.precisions['teachers'][1].name)

    def precisions_used(self) -> dict[str, str | None]:
        """Return the precisions of the student, its teachers, and teachers beside a cache."""
        teachers = self.distiller.teachers
        used: dict[str, str | None] = {'student': 'bf16' if self.amp else 'fp32'}
        running = next((ensemble.precision for ensemble in teachers.ensembles.values()), None)
        if teachers.cached is not None:
            used['teachers'] = teachers.cached_precision
        if running is not None:
            used['teachers' if teachers.cached is None else 'features'] = running
        return used

    def setup_optimizers(self) -> None:
        """Set up BasicSR's optimizer for the student and the adapters of the methods."""
        super().setup_optimizers()
        # The same group, for the same learning rate at every step.
        self.optimizer_g.param_groups[0]['params'].extend(self.adapters.values())

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch; its ``target`` or ``teachers``, if any, replace running the teachers."""
        batch = to_device(data, self.device)
        super().feed_data(batch)
        self.target: torch.Tensor | None = batch.get('target', batch.get('teachers'))

    def student(self, lq: torch.Tensor) -> torch.Tensor:
        """Run the student on a batch.

        Args:
            lq: (b, 3, h, w).

        Returns:
            (b, 3, scale · h, scale · w), float32.
        """
        if self.config.speed.channels_last:
            lq = lq.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            return self.net_g(lq).float()

    def generator(self, current_iter: int) -> torch.Generator:
        """Return the generator for the random numbers of the methods in a step."""
        return torch.Generator().manual_seed(self.seed(current_iter, 'method'))

    def losses(self, current_iter: int) -> dict[str, torch.Tensor]:
        """Compute the losses against ground truth and target, and those of the methods."""
        if self.config.speed.compile in CUDA_GRAPHS:
            # From here on the graphs may write over the outputs of the last step.
            torch.compiler.cudagraph_mark_step_begin()
        batch = Batch(self.lq, self.gt, self.target, self.generator(current_iter))
        return self.distiller.losses(self.student, batch)

    def before_step(self) -> None:
        """Average the gradients of the adapters over all processes.

        DistributedDataParallel does the same for the student.
        """
        if self.opt['dist']:
            average_gradients(self.adapters.values())

    @property
    def averaged(self) -> torch.nn.Module:
        """Return the moving average of the student; without one the student itself."""
        return self.get_bare_model(getattr(self, 'net_g_ema', self.net_g))

    def step(self, losses: dict[str, torch.Tensor], current_iter: int) -> None:
        """Run one optimizer step, and tell the methods about it, unless it was skipped."""
        super().step(losses, current_iter)
        if not self.loss_guard.skipped:
            self.distiller.after_step(current_iter, self.averaged)

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of a checkpoint, including the network's type and arguments.

        They make a checkpoint usable without its option file. Arguments that are classes or
        functions cannot be read back; with one, a checkpoint has no record of the network.
        """
        metadata = super().metadata()
        network = self.opt['network_g']
        if any(of_other_types(network, 'network_g')):
            return metadata
        return {'network': to_json_types(network), **metadata}

    def training_state_extras(self) -> dict[str, Any]:
        """Return adapters and states of the methods, which are not in the student's checkpoints."""
        # With those that are frozen: random ones belong to the training as well.
        parameters = self.distiller.named_parameters()
        extras = {'adapters': {name: p.detach().cpu() for name, p in parameters}}
        states = self.distiller.training_states()
        if states:
            extras['methods'] = states
        return extras

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Resume a training, including the adapters and the states of the methods.

        Args:
            resume_state: Content of a ``.state`` file.

        Raises:
            WeightsError: The state belongs to another method.
        """
        saved = resume_state.get('adapters', {})
        parameters = dict(self.distiller.named_parameters())
        expected = {name: tuple(p.shape) for name, p in parameters.items()}
        if {name: tuple(p.shape) for name, p in saved.items()} != expected:
            raise WeightsError(
                f'path.resume_state: adapters {", ".join(saved) or "none"}; train.kd needs '
                f'{", ".join(expected) or "none"}: the state was saved by another method'
            )
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(saved[name])
        resume_state['optimizers'] = self._of_trained_parameters(resume_state['optimizers'])
        super().resume_training(resume_state)
        states = resume_state.get('methods', {})
        for line in self.distiller.resume(states, resume_state['iter'], self.averaged):
            get_root_logger().info(line)

    def _of_trained_parameters(self, optimizers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave out frozen networks of losses and methods, which 0.1.0 kept in the optimizer."""
        frozen = [not p.requires_grad for p in self.distiller.parameters()]
        first, *others = optimizers
        group, *groups = first['param_groups']
        indices = group['params']
        count = len(self.optimizer_g.param_groups[0]['params'])
        if not any(frozen) or len(indices) != count + sum(frozen):
            return optimizers
        student = len(indices) - len(frozen)
        of_frozen = set(itertools.compress(indices[student:], frozen))
        group = {**group, 'params': [i for i in indices if i not in of_frozen]}
        state = {i: values for i, values in first['state'].items() if i not in of_frozen}
        return [{**first, 'param_groups': [group, *groups], 'state': state}, *others]


@register(MODEL_REGISTRY)
class MTKDModel(KDModel):
    """:class:`KDModel` with the default ``train.kd: {type: MTKD}``."""

    spec = MODELS['MTKDModel']
