"""Steps of trainings in one of two processes.

    torchrun --nproc_per_node=2 tests/helpers/two_processes.py FOLDER

Reads FOLDER/cases.pt, pairs of a name and a case as test_distributed.py makes them, and writes
FOLDER/<name>.<rank>.pt.
"""

import copy
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from mtkd_basicsr.host.distributed import average_gradients
from mtkd_basicsr.models import kd_model

from basicsr.models import build_model  # isort: skip  (its import needs ours first)
from basicsr.utils.dist_util import get_dist_info, init_dist  # isort: skip

# What keeps the processes equal, and what stands in for each where a case leaves it out.
BROKEN = {
    'broadcast_parameters': (kd_model, 'broadcast_parameters', lambda parameters: None),
    'average_gradients': (kd_model, 'average_gradients', lambda parameters: None),
    'wrapper': (DistributedDataParallel, 'forward', lambda self, *args: self.module(*args)),
}


def frozen(model):
    """States of everything that nobody trains: by the name of the teacher, and ``fusion``."""
    if not hasattr(model, 'distiller'):
        nets = dict(zip(model.ensemble.names, model.ensemble.networks))
    else:
        context = model.distiller.teachers
        nets = {name: context.network(name) for name in context.ensembles}
        nets.update({'fusion': context.fused_teachers.fusion} if context.fused_teachers else {})
    return {name: net.state_dict() for name, net in nets.items()}


def model_of(opt, **changes):
    """The model of a training, as BasicSR builds it: with random weights that differ from process
    to process.
    """
    opt = {**copy.deepcopy(opt), **changes}
    torch.manual_seed(opt['manual_seed'] + opt['rank'])
    return build_model(opt)


def take_step(model, batch, iteration=1):
    """Takes a step; gives its log, and of student and adapters by name what they were, became, and
    the gradients.
    """
    trained = {
        **dict(model.get_bare_model(model.net_g).named_parameters()),
        **getattr(model, 'adapters', {}),
    }

    def values(parameters):
        return {name: p.detach().clone() for name, p in parameters.items()}

    before = values(trained)
    model.feed_data(batch)
    model.optimize_parameters(iteration)
    return {
        'log': dict(model.log_dict),
        'before': before,
        'gradients': {name: p.grad.clone() for name, p in trained.items()},
        'after': values(trained),
        'ema': values(dict(model.net_g_ema.named_parameters())),
    }


def go_on(model, opt, batch):
    """Saves, and takes the third step with a new model that goes on from there."""
    model.save(0, 2)
    distributed.barrier()
    path = {**opt['path'], 'pretrain_network_g': str(Path(opt['path']['models']) / 'net_g_2.pth')}
    again = model_of(opt, path=path, manual_seed=opt['manual_seed'] + 7)
    again.resume_training(
        torch.load(Path(opt['path']['training_states']) / '2.state', weights_only=True)
    )
    return take_step(again, batch, 3)


def run_case(case, rank):
    """Two steps of a training in one of the processes, and a third where it is resumed too."""
    opt = {**case['opts'][rank], 'dist': True, 'world_size': 2, 'rank': rank}
    batch = case['batches'][rank]
    construct = DistributedDataParallel.__init__
    with (
        mock.patch.object(
            DistributedDataParallel, '__init__', autospec=True, side_effect=construct
        ) as wrapper,
        mock.patch.object(*BROKEN[case['broken']]) if case['broken'] else nullcontext(),
    ):
        model = model_of(opt)
        student = model.get_bare_model(model.net_g)
        wrapped = [
            call.args[1] is student and not model.net_g.broadcast_buffers
            for call in wrapper.call_args_list
        ]
        steps = [take_step(model, batch, iteration) for iteration in (1, 2)]
        resumed = None
        if case['resumed']:
            resumed = go_on(model, opt, batch)
            steps.append(take_step(model, batch, 3))
    return {
        'wrapped': wrapped,
        'steps': steps,
        'resumed': resumed,
        'frozen': frozen(model),
        'methods': model.distiller.training_states() if hasattr(model, 'distiller') else {},
        'precision': model.metadata()['precision'],
    }


def uneven(rank):
    """Mean gradients of a parameter that both processes use, of one that the first uses, and of one
    that nobody uses.
    """
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    for p in parameters[: 2 - rank]:
        p.grad = torch.full_like(p, rank + 1.0)
    average_gradients(parameters)
    return [p.grad for p in parameters]


def main(folder):
    init_dist('pytorch')
    rank, _ = get_dist_info()
    torch.save(uneven(rank), folder / f'uneven.{rank}.pt')
    for name, case in torch.load(folder / 'cases.pt', weights_only=False):
        torch.save(run_case(case, rank), folder / f'{name}.{rank}.pt')


if __name__ == '__main__':
    main(Path(sys.argv[1]))
