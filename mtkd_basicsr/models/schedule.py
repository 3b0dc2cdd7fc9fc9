"""Optimizer and learning rate of a training that is resumed: as its option file says."""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from ..errors import OptionError, WeightsError
from ..host.api import BaseModel, CosineAnnealingRestartLR, MultiStepRestartLR
from .option_changes import Change, differences

# The schedulers of BasicSR, and their arguments.
_SCHEDULERS = (MultiStepRestartLR, CosineAnnealingRestartLR)
_ARGUMENTS = ('milestones', 'gamma', 'restarts', 'restart_weights', 'periods', 'eta_min')
# States of optimizers with the shape of their parameters.
_LIKE_PARAMETER = ('exp_avg', 'exp_avg_sq', 'momentum_buffer')


def _plain(value: Any) -> Any:
    """Return an argument as it stands in an option file."""
    if isinstance(value, Counter):  # BasicSR's form of milestones
        return sorted(value.elements())
    return list(value) if isinstance(value, tuple) else value


def _arguments(scheduler: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a scheduler out of its ``state_dict``."""
    return {key: _plain(scheduler[key]) for key in _ARGUMENTS if key in scheduler}


def _hyperparameters(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters of a group of an optimizer.

    The learning rate is the one that the schedule starts from.
    """
    values = {key: _plain(value) for key, value in group.items() if key != 'params'}
    current = values.pop('lr')
    values['lr'] = values.pop('initial_lr', current)
    return values


def check_optimizer_state(
    optimizers: Sequence[torch.optim.Optimizer],
    saved: Sequence[Mapping[str, Any]],
    needed: set[str],
    file: str,
) -> None:
    """Raise if saved states of optimizers belong to other parameters, or to other optimizers.

    Args:
        optimizers: The optimizers, just built.
        saved: States to load into them.
        needed: What the first one keeps for a parameter, by name.
        file: The training state, for messages.

    Raises:
        OptionError: A state is of another optimizer.
        WeightsError: The number or the shapes of the parameters differ.
    """
    advice = (
        'it was saved with another network_g or train.kd; keep them, or begin a new training '
        'with path.pretrain_network_g'
    )
    expected = [[len(group['params']) for group in o.param_groups] for o in optimizers]
    found = [[len(group['params']) for group in state['param_groups']] for state in saved]
    if found != expected:
        raise WeightsError(
            f"path.resume_state: '{file}' has an optimizer of {_count(found)}, expected "
            f'{_count(expected)}: {advice}'
        )
    for optimizer, state in zip(optimizers, saved, strict=True):
        parameters = [p for group in optimizer.param_groups for p in group['params']]
        indices = [index for group in state['param_groups'] for index in group['params']]
        for index, parameter in zip(indices, parameters, strict=True):
            entries = state['state'].get(index, {})
            for name in _LIKE_PARAMETER:
                value = entries.get(name)
                if value is not None and value.shape != parameter.shape:
                    raise WeightsError(
                        f"path.resume_state: '{file}' has an optimizer of a parameter of shape "
                        f'{tuple(value.shape)}, expected {tuple(parameter.shape)}: {advice}'
                    )
    first = saved[0]['state'] if saved else {}
    for entries in first.values():
        missing = sorted(needed - set(entries))
        if missing:
            raise OptionError(
                f'train.optim_g: needs {", ".join(missing)}, which the optimizer in the training '
                f"state '{file}' does not have; expected the type and the arguments with which it "
                'was saved, or a new training with path.pretrain_network_g'
            )


def _count(optimizers: Sequence[Sequence[int]]) -> str:
    """Return how many parameters the groups of optimizers have, as text."""
    groups = [str(size) for groups in optimizers for size in groups]
    return f'{" and ".join(groups) or 0} parameters'


class AskedSchedule:
    """Optimizers and schedulers as the option file has them, before a state is loaded.

    BasicSR loads learning rate, hyperparameters, milestones and periods with the state, whatever
    the option file says; a cosine schedule fails when the periods of the state are over.

    Args:
        model: The model, just built.
        warmup: ``train.warmup_iter``.
    """

    def __init__(self, model: BaseModel, warmup: int) -> None:
        self.model = model
        self.warmup = warmup
        self.optimizers = [optimizer.state_dict() for optimizer in model.optimizers]
        self.schedulers = [copy.deepcopy(s.state_dict()) for s in model.schedulers]

    def use(self, state: Mapping[str, Any], saved_warmup: int | None) -> list[Change]:
        """Use them after a state has been loaded, where the option file differs from the state.

        Args:
            state: The training state.
            saved_warmup: ``train.warmup_iter`` of the state; None if unknown.

        Returns:
            The differences.
        """
        changes = self._optimizer_changes(state)
        if changes:
            for group, asked in self._groups():
                group.update({k: v for k, v in asked.items() if k not in ('params', 'lr')})
            self._load_again(state)
        if not all(type(scheduler) in _SCHEDULERS for scheduler in self.model.schedulers):
            return list(changes.values())  # that of somebody else keeps what it has saved
        schedule = self._scheduler_changes(state)
        changes.update(schedule)
        if schedule or 'train.optim_g.lr' in changes or self.warmup != saved_warmup:
            before = self._rates()
            self._replay(state['iter'])
            now = self._rates()
            # Equal rates may have come from others, such as at the end of a cosine.
            if schedule or 'train.optim_g.lr' in changes or now != before:
                if not changes and saved_warmup is None:
                    changes['lr'] = Change('learning rate of the next step', before[0], now[0])
            else:  # the same after all, to the last digit of what a scheduler keeps
                for scheduler, saved in zip(
                    self.model.schedulers, state['schedulers'], strict=True
                ):
                    scheduler.load_state_dict(saved)
        return list(changes.values())

    def _load_again(self, state: Mapping[str, Any]) -> None:
        """Load what optimizers keep for each parameter, for the groups as they are now.

        Where the counts of steps have to be depends on their groups: a fused optimizer needs them
        on its device, any other one would wait for each of them there.
        """
        for optimizer, saved in zip(self.model.optimizers, state['optimizers'], strict=True):
            groups = optimizer.state_dict()['param_groups']
            optimizer.load_state_dict({**saved, 'param_groups': groups})

    def _optimizer_changes(self, state: Mapping[str, Any]) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for saved, asked in zip(state['optimizers'], self.optimizers, strict=True):
            for before, now in zip(saved['param_groups'], asked['param_groups'], strict=True):
                known = _hyperparameters(before)
                wanted = _hyperparameters(now)
                # Versions of PyTorch know more of them, or fewer.
                common = known.keys() & wanted.keys()
                for change in differences(
                    {key: known[key] for key in sorted(common)},
                    {key: wanted[key] for key in sorted(common)},
                    'train.optim_g.',
                ):
                    changes[change.key] = change
        return changes

    def _scheduler_changes(self, state: Mapping[str, Any]) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for saved, asked in zip(state['schedulers'], self.schedulers, strict=True):
            for change in differences(_arguments(saved), _arguments(asked), 'train.scheduler.'):
                changes[change.key] = change
        return changes

    def _groups(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Return each group of parameters, and what the option file has for it."""
        for optimizer, asked in zip(self.model.optimizers, self.optimizers, strict=True):
            yield from zip(optimizer.param_groups, asked['param_groups'], strict=True)

    def _rates(self) -> list[float]:
        """Return the current learning rates of all groups."""
        return [group['lr'] for group, _ in self._groups()]

    def _replay(self, iteration: int) -> None:
        """Set learning rates and schedulers to where the option file has them at an iteration.

        Only the iterations that change a learning rate for good are gone through.
        """
        for group, asked in self._groups():
            group['lr'] = asked['lr']
        steps = {*range(1, min(self.warmup, iteration + 1)), iteration}
        for scheduler, saved in zip(self.model.schedulers, self.schedulers, strict=True):
            scheduler.load_state_dict(saved)
            for name in ('milestones', 'restarts'):
                # The count of a scheduler begins at 0.
                steps.update(event + 1 for event in getattr(scheduler, name, ()))
        for step in sorted(steps):
            if not 1 <= step <= iteration:
                continue
            if step > 1:
                for scheduler in self.model.schedulers:
                    scheduler.last_epoch = step - 2
                    # With a smaller one torch warns that the optimizer has made no step yet.
                    scheduler._step_count = 2
            self.model.update_learning_rate(step, self.warmup)
        for scheduler in self.model.schedulers:
            scheduler._step_count = iteration
