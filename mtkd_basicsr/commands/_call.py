"""A process that calls one function of :mod:`mtkd_basicsr.commands`; see :class:`._jobs.Job`.

``python -m mtkd_basicsr.commands._call '{"function": "train", "arguments": {…}}'`` prints what the
command line would print, errors included.
"""

import json
import sys

from .. import commands
from ._process import print_any_text, run_in_this_process

# Functions whose command has another name.
_COMMANDS = {'prepare_data': 'data', 'write_options': 'options'}


def main(text: str) -> int:
    """Call a function.

    Args:
        text: JSON, with the name of the function and its keywords.

    Returns:
        Exit status: 0, or 1 after an error of a user's making.
    """
    print_any_text()
    call = json.loads(text)
    name = call['function']
    if name not in commands.__all__:
        raise ValueError(f'{name!r} is no function of {commands.__name__}')
    function = getattr(commands, name)
    return run_in_this_process(_COMMANDS.get(name, name), lambda: function(**call['arguments']))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
