"""Parts of messages."""

from collections.abc import Sequence


def listed(texts: Sequence[str], most: int, separator: str = ', ') -> str:
    """Join the first texts, and say how many more there are: ``'a, b and 3 more'``.

    Args:
        texts: All texts.
        most: How many are listed.
        separator: What is between them.
    """
    more = f' and {len(texts) - most} more' if len(texts) > most else ''
    return separator.join(texts[:most]) + more


def begun(texts: Sequence[str], most: int) -> str:
    """Join the first texts, and say that there are more: ``'a, b, …'``.

    Args:
        texts: All texts.
        most: How many are listed.
    """
    return ', '.join(texts[:most]) + (', …' if len(texts) > most else '')


def is_unicode(text: str) -> bool:
    """Return whether a text can be written in UTF-8.

    A name from :func:`os.listdir` that is not in the encoding of file names can not.
    """
    try:
        text.encode('utf-8')
    except UnicodeEncodeError:
        return False
    return True
