"""The tables of ``benchmarks/gpu.py``, from the lines of ``results.jsonl``."""

from .frame import ITEMS, MAX_LINES, items


def _short(value):
    if isinstance(value, float):
        return f'{value:.3g}'
    return ' '.join(str(value).split()).replace('|', '/')


def _state(rows, ended):
    if not rows and not ended:
        return 'left out'
    failed = [row for row in rows if row['ok'] is False]
    if failed:
        return f'{len(failed)} FAILED'
    checked = sum(row['ok'] is True for row in rows)
    return f'{checked} pass' if checked else 'recorded'


def by_item(lines):
    """Sort lines of the results by item: rows, and seconds taken."""
    rows = {name: [] for name in ITEMS}
    seconds = {}
    for line in lines:
        if line['item'] not in rows:
            continue
        if 'part' in line:
            rows[line['item']].append(line)
        elif 'ended' in line:
            seconds[line['item']] = line['seconds']
    return rows, seconds


def summary(lines):
    """Return a table with a line for each item, and below it a line for each failure."""
    rows, seconds = by_item(lines)
    table = ['| item | result | s | |', '|---|---|---|---|']
    failures = []
    for checks in (True, False):
        for item in items(checks):
            taken = seconds.get(item.name)
            state = _state(rows[item.name], taken is not None)
            shown = '' if taken is None else f'{taken:.1f}'
            table.append(f'| {item.name} | {state} | {shown} | {item.about} |')
            for row in rows[item.name]:
                if row['ok'] is False:
                    limit = f', limit {_short(row["limit"])}' if 'limit' in row else ''
                    failures.append(f'- {item.name}: {row["part"]}: {_short(row["value"])}{limit}')
    return [*table, '', *(failures or ['No failure.'])]


def details(lines, checks):
    """Return a table with every row of the checks or of the timings."""
    rows, _ = by_item(lines)
    table = ['| item | part | value | limit | |', '|---|---|---|---|---|']
    for item in items(checks):
        for row in rows[item.name]:
            mark = {True: 'pass', False: 'FAILED', None: ''}[row['ok']]
            value = f'{_short(row["value"])} {row.get("unit", "")}'.strip()
            limit = _short(row['limit']) if 'limit' in row else ''
            table.append(f'| {item.name} | {row["part"]} | {value} | {limit} | {mark} |')
    return table


def page(lines, title):
    """Return the whole page, for ``table.md``."""
    return [
        title,
        '',
        *summary(lines),
        '',
        '## Times',
        '',
        *details(lines, False),
        '',
        '## Checks',
        '',
        *details(lines, True),
    ]


def terminal(lines, title):
    """Return at most :data:`~.frame.MAX_LINES` lines: the summary, then times as far as they
    fit.
    """
    shown = [title, '', *summary(lines), '', *details(lines, False)]
    if len(shown) > MAX_LINES:
        left = len(shown) - MAX_LINES + 1
        shown = [*shown[: MAX_LINES - 1], f'… {left} more lines in table.md']
    return shown
