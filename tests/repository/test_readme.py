"""The README: one page, whose first screen says how to start. What holds for all pages is in
test_docs.py.
"""

import re

from conftest import ROOT

from mtkd_basicsr.commands.cli import COMMANDS
from mtkd_basicsr.commands.options import baselines

README = (ROOT / 'README.md').read_text()
# Without the table that benchmarks/tables.py writes, which test_results.py compares with the
# results.
TYPED = re.sub('<!-- results -->.*<!-- end of results -->', '', README, flags=re.DOTALL)


def test_the_readme_is_one_page():
    assert len(TYPED.splitlines()) <= 110, 'move something to docs/'


def test_the_readme_links_to_every_page():
    linked = set(re.findall(r'\]\((docs/\w+\.md)\)', README))
    assert linked == {f'docs/{path.name}' for path in (ROOT / 'docs').glob('*.md')}
    assert len(linked) >= 8


def test_first_line_is_that_of_the_option_files():
    line = re.search(r'`(mtkd_basicsr: !!python/name:[\w.]+)`', README).group(1)
    for path in (ROOT / 'options').rglob('*.yml'):
        assert line in path.read_text().splitlines()[:8][-1] or line in path.read_text(), path


def test_first_screen_and_ci_have_the_two_commands():
    screen = '\n'.join(README.splitlines()[:30])
    for command in (
        'pip install . && mtkd demo',
        "pip install -e '.[test]' && pytest",
        'python basicsr/train.py -opt options/mtkd_edsr.yml',
    ):
        assert f'    {command}\n' in screen
    assert "pip install -q -e '.[test]' && pytest" in (ROOT / '.ci' / 'run').read_text()


def test_the_readme_names_every_command():
    for name in COMMANDS:
        assert f'`mtkd {name} ' in README or f'mtkd {name}\n' in README, name


def test_the_readme_names_the_methods_of_the_paper():
    """docs/methods.md has all of them, which test_docs.py checks."""
    for key, (name, _, _) in baselines.METHODS.items():
        assert key in baselines.LATER_METHODS or f'`{name}`' in README, name


# Figures

# Not of names and versions (×4, x2, Set5, R2.1), nor parts of longer ones.
NUMBER = re.compile(r'(?<![\w.,×*{-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w×*}-]|[.,]\d)')
WORDS = ('no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten')
FIGURES = (ROOT / 'docs' / 'figures.md').read_text()


def value_of(number):
    return float(number.replace(',', ''))


def measurements(text):
    """Rows of the tables that have a column ``command``: the command, and all that is said of it
    in the row beside what was measured.

    ``the same`` stands for the command of the row above.
    """
    command = ''
    rows = []
    columns = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
        if not line.startswith('|'):
            columns = []
        elif not columns:
            columns = cells
        elif 'command' in columns and not set(line) <= set('|-: '):
            cell = cells[columns.index('command')]
            found = re.match(r'`([^`]+)`(.*)', cell)
            assert found or cell == 'the same', line
            command = found.group(1) if found else command
            rows.append((command, f'{found.group(2) if found else ""} {cells[-1]}'))
    return rows


def measured(command):
    """All numbers of docs/figures.md about a command: of its rows, or of the sections about it."""
    rows = [said for name, said in measurements(FIGURES) if name == command]
    sections = [part for part in FIGURES.split('\n## ') if f'`{command}`' in part]
    return set(NUMBER.findall(' '.join(rows or sections)))


def prose(text):
    """A text without its tables, code and links."""
    lines = [line for line in text.splitlines() if not line.startswith(('|', '    '))]
    return re.sub(r'`[^`]*`|\]\([^)]*\)', ' ', '\n'.join(lines))


def is_rounded_from(number, values):
    """Whether one of the values is this number, after rounding to its decimals, or to one percent
    of a number in thousands.
    """
    value = value_of(number)
    if '.' in number:
        decimals = len(number.partition('.')[2])
        return any(f'{other:.{decimals}f}' == number for other in values)
    if ',' in number:
        return any(abs(other - value) <= value / 100 for other in values)
    return value in values


def wrong_figures(typed):
    """Figures of the README that no measurement of docs/ gives: (where, figure)."""
    for command, said in measurements(typed):
        for number in NUMBER.findall(said):
            if number not in measured(command):
                yield command, number
    # What benchmarks/tables.py writes into the README, and the pages of what was measured.
    pages = sorted((ROOT / 'docs').glob('results*.md'))
    generated = README.partition('<!-- results -->')[2].partition('<!-- end of results -->')[0]
    sources = [generated, FIGURES, *(page.read_text() for page in pages)]
    values = {value_of(number) for text in sources for number in NUMBER.findall(text)}
    for number in NUMBER.findall(prose(section_of_figures(typed))):
        if ('.' in number or ',' in number) and not is_rounded_from(number, values):
            yield 'text', number
    seconds = max(value_of(number) for number in re.findall(r'(\d+) s\b', demo_row(typed)))
    for word in re.findall(r'less than (\w+) minutes', typed):
        if seconds >= 60 * WORDS.index(word):
            yield 'mtkd demo', f'{word} minutes'


def section_of_figures(typed):
    """The section with the figures, which is the one that has a table of commands."""
    return next(part for part in typed.split('\n## ') if measurements(part))


def demo_row(typed):
    return next(said for command, said in measurements(typed) if command == 'mtkd demo')


def test_every_figure_was_measured():
    assert list(wrong_figures(TYPED)) == []


def test_figures_are_read_from_the_readme():
    """The check above looks at something: at rows of several scripts, and at the demo's time."""
    commands = {command for command, _ in measurements(TYPED)}
    assert len(commands) >= 4
    assert 'mtkd demo' in commands
    for command in commands:
        assert len(measured(command)) >= 1, command
    assert sum(len(NUMBER.findall(said)) for _, said in measurements(TYPED)) >= 10
    assert re.search(r'less than \w+ minutes', TYPED)


def test_a_figure_that_nobody_measured_is_found():
    for command, said in measurements(TYPED):
        result = said.split()[-1]
        changed = TYPED.replace(f'{result} |\n', '987.6 |\n')
        assert (command, '987.6') in wrong_figures(changed), command
    section = section_of_figures(TYPED)
    changed = TYPED.replace(section, section + '\n9,876 iterations, 0.4321 dB, 2.\n')
    assert list(wrong_figures(changed)) == [('text', '9,876'), ('text', '0.4321')]
    changed = re.sub(r'less than \w+ minutes', 'less than four minutes', TYPED)
    assert list(wrong_figures(changed)) == [('mtkd demo', 'four minutes')]
