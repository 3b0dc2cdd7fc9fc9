"""The README: one page, whose first screen says how to start. What holds for all pages is in
test_docs.py.
"""

import re

from conftest import ROOT

from mtkd_basicsr.commands.cli import COMMANDS
from mtkd_basicsr.commands.options import baselines

README = (ROOT / 'README.md').read_text()
# Pages of docs/ with measurements, beside figures.md.
PAGES_OF_FIGURES = ('results', 'parts', 'reference_models')
# Without the table that benchmarks/tables.py writes, which test_results.py compares with the
# results.
TYPED = re.sub('<!-- results -->.*<!-- end of results -->', '', README, flags=re.DOTALL)
GENERATED = README.partition('<!-- results -->')[2].partition('<!-- end of results -->')[0]


def test_the_readme_is_one_page():
    assert len(README.splitlines()) < 100, 'move something to docs/'


def test_there_is_one_table_which_is_short():
    assert '\n|' not in TYPED
    rows = [line for line in GENERATED.splitlines() if line.startswith('|')]
    assert 4 <= len(rows) - 2 <= 8


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
        assert re.search(rf'\bmtkd {name}[ \n]', README), name


def test_the_readme_names_the_methods_of_the_paper():
    """docs/methods.md has all of them, which test_docs.py checks."""
    for key, (name, _, _) in baselines.METHODS.items():
        assert key in baselines.LATER_METHODS or f'`{name}`' in README, name


# Figures

# Not of names and versions (×4, x2, Set5, R2.1), nor parts of longer ones.
NUMBER = re.compile(r'(?<![\w.,×*{-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w×*}-]|[.,]\d)')
WORDS = ('no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten')
FIGURES = (ROOT / 'docs' / 'figures.md').read_text()
# Pages of what was measured.
MEASURED = (FIGURES, *((ROOT / 'docs' / f'{n}.md').read_text() for n in PAGES_OF_FIGURES))


def value_of(number):
    return float(number.replace(',', ''))


def prose(text):
    """A text without its tables, code and links."""
    text = re.sub(r'(?ms)^```.*?^```', '', text)
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
    return any(abs(other - value) <= value / 100 for other in values)


def wrong_figures(typed):
    """Figures of the README that no page of measurements and not its own table gives."""
    values = {value_of(n) for text in (GENERATED, *MEASURED) for n in NUMBER.findall(text)}
    for number in NUMBER.findall(prose(section_of_figures(typed))):
        if ('.' in number or ',' in number) and not is_rounded_from(number, values):
            yield number
    for word in re.findall(r'less than (\w+) minutes', typed):
        if seconds_of_the_demo() >= 60 * WORDS.index(word):
            yield f'{word} minutes'


def section_of_figures(typed):
    return next(part for part in typed.split('\n## ') if part.startswith('What it gives'))


def seconds_of_the_demo():
    return int(re.search(r'`mtkd demo` takes (\d+) s', FIGURES)[1])


def test_every_figure_was_measured():
    assert list(wrong_figures(TYPED)) == []


def test_a_figure_that_nobody_measured_is_found():
    section = section_of_figures(TYPED)
    assert len([n for n in NUMBER.findall(prose(section)) if '.' in n or ',' in n]) >= 5
    changed = TYPED.replace(section, section + '\n9,876 iterations, 0.4321 dB, 2.\n')
    assert list(wrong_figures(changed)) == ['9,876', '0.4321']
    changed = re.sub(r'less than \w+ minutes', 'less than four minutes', TYPED)
    assert list(wrong_figures(changed)) == ['four minutes']
