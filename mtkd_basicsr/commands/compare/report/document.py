"""A report as a list of blocks, written as Markdown with separate images or as one HTML file."""

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass
class Text:
    """A paragraph."""

    text: str


@dataclass
class Table:
    """A table of texts; ``best`` holds the row and column of each cell in bold."""

    header: list[str]
    rows: list[list[str]]
    best: frozenset[tuple[int, int]] = frozenset()


@dataclass
class Picture:
    """A PNG file in the folder of the report."""

    path: Path
    caption: str


Block = Heading | Text | Table | Picture


_STYLE = """body{font:15px/1.5 system-ui,sans-serif;color:#1a1a1a;\
max-width:1250px;margin:2rem auto;padding:0 1rem}
h1,h2,h3{line-height:1.2;margin-top:2rem}table{border-collapse:collapse;\
margin:1rem 0;display:block;overflow-x:auto}
th,td{padding:.3rem .7rem;border-bottom:1px solid #ddd;text-align:right;\
white-space:nowrap;font-variant-numeric:tabular-nums}
th{border-bottom:2px solid #888}th:first-child,td:first-child{text-align:left}\
td.best{font-weight:700}
img{max-width:100%;height:auto;border:1px solid #ddd}figure{margin:1rem 0}\
figcaption,p.note{color:#555}"""


def _markdown_cell(text: str, best: bool) -> str:
    text = text.replace('|', '\\|')
    return f'**{text}**' if best else text


def markdown(blocks: Iterable[Block]) -> str:
    """Return blocks as Markdown."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append('#' * block.level + ' ' + block.text)
        elif isinstance(block, Text):
            parts.append(block.text)
        elif isinstance(block, Picture):
            parts.append(f'![{block.caption}]({block.path.name})\n\n{block.caption}')
        else:
            parts.append(_markdown_table(block))
    return '\n\n'.join(parts) + '\n'


def _markdown_table(table: Table) -> str:
    lines = [f'| {" | ".join(table.header)} |', '|' + '---|' * len(table.header)]
    for i, row in enumerate(table.rows):
        cells = [_markdown_cell(cell, (i, j) in table.best) for j, cell in enumerate(row)]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def _html_table(table: Table) -> str:
    parts = ['<table><thead><tr>']
    parts += [f'<th>{html.escape(cell)}</th>' for cell in table.header]
    parts.append('</tr></thead><tbody>')
    for i, row in enumerate(table.rows):
        parts.append('<tr>')
        for j, cell in enumerate(row):
            style = ' class=best' if (i, j) in table.best else ''
            parts.append(f'<td{style}>{html.escape(cell)}</td>')
        parts.append('</tr>')
    parts.append('</tbody></table>')
    return ''.join(parts)


def page(blocks: Sequence[Block]) -> str:
    """Return blocks as one self-contained HTML page; images are embedded."""
    title = html.escape(next(block.text for block in blocks if isinstance(block, Heading)))
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f'<h{block.level}>{html.escape(block.text)}</h{block.level}>')
        elif isinstance(block, Text):
            parts.append(f'<p>{html.escape(block.text)}</p>')
        elif isinstance(block, Picture):
            data = base64.b64encode(block.path.read_bytes()).decode()
            caption = html.escape(block.caption)
            parts.append(
                f'<figure><img alt="{caption}" '
                f'src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
            )
        else:
            parts.append(_html_table(block))
    return (
        '<!doctype html>\n<html lang="en"><head><meta '
        f'charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>\n'
        '<body>\n' + '\n'.join(parts) + '\n</body></html>\n'
    )
