"""The command ``mtkd``."""

import argparse
import os
import signal
import sys

from . import __version__, distributed
from .errors import MTKDError


def _checked(name, run, before):
    def checked(args):
        from .train import parse_like_basicsr
        before(parse_like_basicsr(name, args, name == 'train'))
        run(args)
    return checked


def _read_no_pickles():
    # What BasicSR, spandrel and torch load by torch.load without saying so; before torch 2.6 it executes what is in the file.
    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    os.environ.pop('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', None)


def _parser():
    parser = argparse.ArgumentParser(prog='mtkd', description='Multi-teacher knowledge distillation for super-resolution')
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')

    from . import cache, checks, compare, data_folders, demo, export, generate, train, upscale

    for name, run, before in (('train', train.train, checks.before_training), ('test', train.test, checks.before_test)):
        command = commands.add_parser(name, help=f"{name} by BasicSR's loop", description=run.__doc__.split('\n')[0])
        train.add_arguments(command)
        command.set_defaults(run=_checked(name, run, before))

    command = commands.add_parser('cache', help='run the teachers once over all training images, and keep the targets',
                                  description=cache.cache.__doc__.split('\n')[0])
    cache.add_arguments(command)
    command.set_defaults(run=cache.cache)

    command = commands.add_parser('compare', help='many trainings side by side, and a report over them',
                                  description=compare.compare.__doc__.split('\n')[0])
    compare.add_arguments(command)
    command.set_defaults(run=compare.compare)

    command = commands.add_parser('check', help='what is wrong with an option file, before an hour is spent on it',
                                  description=checks.check.__doc__.split('\n')[0])
    checks.add_arguments(command)
    command.set_defaults(run=checks.check)

    command = commands.add_parser('data', help="folders as BasicSR wants them, out of a folder of images",
                                  description=data_folders.data.__doc__.split('\n')[0])
    data_folders.add_arguments(command)
    command.set_defaults(run=data_folders.data)

    command = commands.add_parser('options', help='write the option files of the paper, or what their keys mean',
                                  description=generate.options.__doc__.split('\n')[0])
    generate.add_arguments(command)
    command.set_defaults(run=generate.options)

    command = commands.add_parser('upscale', help='enlarge pictures with a trained student',
                                  description=upscale.upscale.__doc__.split('\n')[0])
    upscale.add_arguments(command)
    command.set_defaults(run=upscale.upscale)

    command = commands.add_parser('export', help='a trained student as an ONNX, TorchScript or safetensors file',
                                  description=export.export.__doc__.split('\n')[0])
    export.add_arguments(command)
    command.set_defaults(run=export.export)

    command = commands.add_parser('demo', help='the whole of MTKD on photographs, in minutes, on a CPU')
    demo.add_arguments(command)
    command.set_defaults(run=demo.demo)
    return parser


def main(argv=None):
    """Entry point. Errors of a user's making are printed without a traceback.

    Args:
        argv (list[str] | None): Arguments; None takes those of the process.

    Returns:
        int: Exit status: 0, or 1 after an error.
    """
    args = _parser().parse_args(argv)
    _read_no_pickles()
    launched = getattr(args, 'launcher', 'none') != 'none'
    if not launched:
        # As after Ctrl-C: commands that started other processes end them. A process that waits for another one, which launchers end
        # in this way too, would not come to it.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        args.run(args)
    except MTKDError as error:
        if launched:
            distributed.let_the_first_speak()
        print(f'mtkd {args.command}: {error}', file=sys.stderr)
        return 1
    return 0
