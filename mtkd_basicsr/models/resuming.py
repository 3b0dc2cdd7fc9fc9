"""How a training resumes: exactly, and with the options that its option file has now."""

import json
import os
from typing import TYPE_CHECKING, Any

import torch

from ..errors import OptionError
from ..host.api import SRModel, get_root_logger, master_only
from ..host.training_loop import epoch_to_go_on_with
from ..utils.atomic import save_atomically
from ..utils.random_state import random_state, set_random_state
from .best_validation import comparable
from .checkpoint_rotation import remove_temporary_files
from .option_changes import differences
from .schedule import AskedSchedule, check_optimizer_state

if TYPE_CHECKING:
    from ..config import TrainingConfig
    from ..utils.precision import Precision

# The best validation results, in a file beside the training states: they are measured after a
# state is written.
BEST = 'best.json'


class ResumableModel(SRModel):
    """BasicSR's ``SRModel`` with a resume that follows the option file.

    Attributes:
        config: The parsed options.
        ema_updates: Number of updates of the moving average.
        precisions: Option key and precision of the networks, by name.
    """

    config: 'TrainingConfig'
    ema_updates: int
    precisions: 'dict[str, tuple[str, Precision]]'
    _iteration: int  # the last one
    _recorded: dict[str, Any]  # options for training states
    _start: dict[str, int]  # epoch and iteration in which this process began

    def use_precisions(self, saved: dict[str, str] | None = None) -> None:
        """Set the precisions.

        Args:
            saved: Precisions from a training state; None if the model is being built.
        """
        raise NotImplementedError

    def training_state_extras(self) -> dict[str, Any]:
        """Return additional entries for the training states of this model."""
        return {}

    @master_only
    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """Write BasicSR's ``<iteration>.state`` with additional entries for an exact resume."""
        if current_iter == -1:  # the end of the training
            return
        state = {
            'epoch': epoch,
            'iter': current_iter,
            'optimizers': [o.state_dict() for o in self.optimizers],
            'schedulers': [s.state_dict() for s in self.schedulers],
            'began': self._start,
            'seed': self.opt['manual_seed'],
            'options': self._recorded,
            'ema_updates': self.ema_updates,
            'precision': {name: precision.name for name, (_, precision) in self.precisions.items()},
            'random': random_state(),
            **self.training_state_extras(),
        }
        save_atomically(
            state, os.path.join(self.opt['path']['training_states'], f'{current_iter}.state')
        )

    def _update_best_metric_result(
        self, dataset_name: str, metric: str, val: Any, current_iter: int
    ) -> None:
        """Compare plain numbers as BasicSR does; metrics may return arrays or tensors.

        Raises:
            OptionError: The metric returns something else.
        """
        try:
            number = float(val.item() if hasattr(val, 'item') else val)
        except (TypeError, ValueError, RuntimeError) as error:
            raise OptionError(
                f'val.metrics.{metric}: returns {val!r}; expected a number'
            ) from error
        self.metric_results[metric] = number
        super()._update_best_metric_result(dataset_name, metric, number, current_iter)

    def _kept_by_optimizer(self) -> set[str]:
        """Return the names of what the optimizer keeps for each parameter."""
        parameter = torch.zeros(1, device=self.device, requires_grad=True)
        parameter.grad = torch.zeros_like(parameter)
        arguments = dict(self._recorded['train']['optim_g'])
        optimizer = self.get_optimizer(arguments.pop('type'), [parameter], **arguments)
        optimizer.step()
        return {name for name, value in optimizer.state[parameter].items() if value is not None}

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Resume as BasicSR does, with precisions, random numbers, best results and epoch.

        Where the option file differs from that of the state, it is followed, and the log says so.

        Args:
            resume_state: Content of a ``.state`` file.

        Raises:
            OptionError: The state is of another optimizer.
            WeightsError: The state is of another network or method.
        """
        file = self.opt['path'].get('resume_state') or 'training state'
        check_optimizer_state(
            self.optimizers, resume_state['optimizers'], self._kept_by_optimizer(), file
        )
        asked = AskedSchedule(self, self.opt['train'].get('warmup_iter', -1))
        super().resume_training(resume_state)
        changed = self._follow_options(resume_state, asked)
        # States of BasicSR, and of version 0.1.0 with precisions in the option file, have no entry.
        self.use_precisions(resume_state.get('precision', {}))
        if self.opt['rank'] == 0:
            path = self.opt['path']
            remove_temporary_files(path['models'], path['training_states'])
        best = os.path.join(self.opt['path']['training_states'], BEST)
        if os.path.isfile(best):
            with open(best, encoding='utf-8') as saved:
                self.best_metric_results = comparable(json.load(saved), self.config, changed)
        # BasicSR reads the epoch after this.
        resume_state['epoch'] = epoch_to_go_on_with(self.opt, resume_state)
        if 'began' in resume_state:  # states of BasicSR do not have these entries
            self._use_seed(resume_state['seed'])
            if self.opt['rank'] == 0:  # the process whose state was saved
                set_random_state(resume_state['random'])
        self.ema_updates = resume_state.get('ema_updates', resume_state['iter'])
        self._iteration = resume_state['iter']
        self._start = {'epoch': resume_state['epoch'], 'iter': resume_state['iter']}

    def _follow_options(self, state: dict[str, Any], asked: AskedSchedule) -> list[str]:
        """Use the option file where a state differs; log and return the keys that do."""
        saved = state.get('options')  # not in states of BasicSR and of version 0.1.0
        warmup = None if saved is None else saved['train'].get('warmup_iter', -1)
        changes = asked.use(state, warmup)
        seen = {change.key for change in changes}
        for change in [] if saved is None else differences(saved, self._recorded):
            block = change.key.rpartition('.')[0]
            # Of these two the state itself has all values, defaults included, but not the types.
            if change.key not in seen and (
                block not in ('train.optim_g', 'train.scheduler') or change.key.endswith('.type')
            ):
                changes.append(change)
        for change in changes:
            get_root_logger().info(str(change))
        return [change.key for change in changes]

    def _use_seed(self, seed: int) -> None:
        """Draw the random numbers of steps as at the start of the training."""
        if self.opt['manual_seed'] != seed:
            get_root_logger().info(
                f'manual_seed: {self.opt["manual_seed"]}; the training goes on with {seed}, with '
                'which it began'
            )
        self.opt['manual_seed'] = seed
