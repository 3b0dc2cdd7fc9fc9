"""The README: one page, whose first screen says how to start. What holds for all pages is in
test_docs.py.
"""

import re

from conftest import ROOT

README = (ROOT / 'README.md').read_text()
# Without the table that benchmarks/tables.py writes, which test_results.py compares with the
# results.
TYPED = re.sub('<!-- results -->.*<!-- end of results -->', '', README, flags=re.DOTALL)


def test_it_is_one_page():
    assert len(TYPED.splitlines()) <= 110, 'move something to docs/'


def test_it_leads_to_every_other_page():
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


def test_it_names_every_command_and_every_method():
    from mtkd_basicsr.commands.cli import _parser
    from mtkd_basicsr.distillers import METHODS

    commands = _parser()._subparsers._group_actions[0].choices
    assert len(commands) >= 9
    assert all(f'`mtkd {name} ' in README or f'mtkd {name}\n' in README for name in commands)
    assert all(f'`{name}`' in README or name == 'MTKD' for name in METHODS)


def test_its_figures_are_those_of_the_pages():
    rows = TYPED.split('## What it costs and gives')[1].split('## More')[0]
    pages = ''.join((ROOT / 'docs' / f'{name}.md').read_text() for name in ('figures', 'comparing'))
    for figure in re.findall(r'\d+\.\d\d+|236|9\.7|141|14\.6', rows.replace('2.15', '')):
        rounded = [
            value for value in re.findall(r'\d+\.\d{3}\b', pages) if f'{float(value):.2f}' == figure
        ]
        assert re.search(rf'(?<![\d.]){re.escape(figure)}(?!\d)', pages) or rounded, figure
