"""Option values in the types that JSON knows."""

from typing import Any


def to_json_types(value: Any) -> Any:
    """Convert option values to what they are after being written to JSON and read back.

    Ordered mappings become dicts with texts as keys, tuples become lists.

    Args:
        value: Mapping, list, tuple, text, number or anything else, which is returned as it is.

    Returns:
        The same values in dicts and lists.
    """
    if isinstance(value, dict):
        return {str(name): to_json_types(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_types(each) for each in value]
    return value
