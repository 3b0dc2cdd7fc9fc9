"""Texts that stay the same when the folder of the results is moved."""

import json
import re
from pathlib import Path
from typing import Any


def relocatable_json(content: Any, out: Path, sort_keys: bool = False) -> str:
    """Return content as JSON in which ``{out}`` replaces the folder of the results."""
    text = json.dumps(content, default=str, sort_keys=sort_keys)
    # Not in the name of another folder, which begins like that of this one.
    folder = re.escape(json.dumps(str(out))[1:-1])
    return re.sub(rf'{folder}(?=["/\\])', '{out}', text)


def relocatable(content: Any, out: Path) -> Any:
    """Return content, as JSON holds it, in which ``{out}`` replaces the folder of the results."""
    return json.loads(relocatable_json(content, out))
