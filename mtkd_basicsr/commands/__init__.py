"""The commands as the command line sees them: help, arguments, and what to import when one of them
runs.

These modules import nothing heavy, so that ``mtkd --help`` and every usage error answer at once.
Each has

- ``HELP``, its line in ``mtkd --help``, and ``DESCRIPTION``, the first line of ``mtkd COMMAND
  --help``;
- ``NEEDS_BASICSR``: whether models, archs, losses and datasets have to be registered before it
  runs;
- where they can contradict each other, ``check(args)``, which raises an ``OptionError``;
- ``add_arguments(parser)`` and ``run(args)``, which imports what the command does.
"""

from . import cache, check, compare, data, demo, export, options, test, train, upscale

# In the order of `mtkd --help`.
COMMANDS = {
    'train': train,
    'test': test,
    'cache': cache,
    'compare': compare,
    'check': check,
    'data': data,
    'options': options,
    'upscale': upscale,
    'export': export,
    'demo': demo,
}
