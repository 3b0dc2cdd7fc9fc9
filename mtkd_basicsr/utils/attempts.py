"""Try something with one value after the other."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..errors import OptionError

Value = TypeVar('Value')
Result = TypeVar('Result')


def first_accepted(check: Callable[[Value], Result], values: Sequence[Value]) -> Result:
    """Return the result of a check for the first value that it accepts.

    Args:
        check: Raises ``OptionError`` for a value that it does not accept.
        values: One or more, tried in this order.

    Raises:
        OptionError: That of the last value, if the check accepts none.
    """
    *others, last = values
    for value in others:
        try:
            return check(value)
        except OptionError:
            continue
    return check(last)
