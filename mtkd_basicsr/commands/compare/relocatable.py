"""Texts that stay the same when the folder of the results is moved."""

import json
from pathlib import Path
from typing import Any


def relocatable_json(content: Any, out: Path, sort_keys: bool = False) -> str:
    """Return content as JSON in which ``{out}`` replaces the folder of the results."""
    text = json.dumps(content, default=str, sort_keys=sort_keys)
    return text.replace(json.dumps(str(out))[1:-1], '{out}')


def relocatable(content: Any, out: Path) -> Any:
    """Return content, as JSON holds it, in which ``{out}`` replaces the folder of the results."""
    return json.loads(relocatable_json(content, out))
