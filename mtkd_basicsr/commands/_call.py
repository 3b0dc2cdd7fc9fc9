"""Entry point of a process that calls one function of the commands; see :class:`._jobs.Job`.

``python -m mtkd_basicsr.commands._call '{"function": "train", "arguments": {…}}'`` prints what the
command line would print, including errors.
"""

import json
import sys

from .. import commands
from ._process import print_any_text, run_in_this_process

# Functions whose command has a different name.
_COMMANDS = {'prepare_data': 'data', 'write_options': 'options'}


def main(text: str) -> int:
    """Call a function.

    Args:
        text: JSON object with the name of the function and its keyword arguments.

    Returns:
        Exit status: 0, or 1 after a user error.
    """
    print_any_text()
    call = json.loads(text)
    name = call['function']
    if name not in commands.__all__:
        raise ValueError(f'{name!r} is not a function of {commands.__name__}')
    function = getattr(commands, name)
    return run_in_this_process(_COMMANDS.get(name, name), lambda: function(**call['arguments']))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
