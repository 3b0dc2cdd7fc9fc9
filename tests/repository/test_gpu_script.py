"""``benchmarks/gpu.py`` without a GPU: everything that it does there runs here, small."""

import json
import sys

import pytest
from conftest import ROOT, run

SCRIPT = ROOT / 'benchmarks' / 'gpu.py'
# They only call tests, or say what there is on a GPU alone.
OTHERS = {'marked-tests'}


def call(*arguments, expect=0):
    return run([sys.executable, SCRIPT, *arguments], cwd=ROOT, expect=expect)


def names():
    return {line.split()[0] for line in call('--list', '--out', 'unused').splitlines()}


@pytest.mark.slow
def test_every_item_is_rehearsed(tmp_path):
    chosen = sorted(names() - OTHERS)
    arguments = ('--device', 'cpu', '--tiny', '--seconds', '1500', '--jobs', '1')
    printed = call('--out', tmp_path / 'out', *arguments, '--only', *chosen)
    assert len(printed.splitlines()) <= 130
    lines = [json.loads(line) for line in (tmp_path / 'out' / 'results.jsonl').open()]
    assert {line['item'] for line in lines if 'ended' in line} == set(chosen)
    assert [line for line in lines if line.get('ok') is False] == []
    assert sum(line.get('ok') is True for line in lines) > 100
    table = (tmp_path / 'out' / 'table.md').read_text()
    assert all(f'| {name} |' in table for name in chosen)


def test_an_item_that_ends_its_process_costs_itself_alone(tmp_path):
    """The other items of that process are run by a new one."""
    items = tmp_path / 'items.py'
    items.write_text(
        'import os\n'
        'from gpu_items import frame\n'
        '@frame.check(seconds=20, rank=0)\n'
        'def crash(context):\n'
        '    """End the process."""\n'
        '    os._exit(9)\n'
        '@frame.check(seconds=20, rank=1)\n'
        'def behind(context):\n'
        '    """Come after it."""\n'
        "    context.expect('nothing', 0.0)\n"
    )
    run(
        [sys.executable, SCRIPT, '--out', tmp_path / 'out', '--device', 'cpu', '--tiny']
        + ['--jobs', '1', '--only', 'crash', 'behind', '--items', items],
        cwd=ROOT,
        expect=1,
    )
    lines = [json.loads(line) for line in (tmp_path / 'out' / 'results.jsonl').open()]
    results = {line['item']: line for line in lines if 'part' in line}
    assert 'the process ended with status 9' in results['crash']['value']
    assert results['behind']['ok'] is True


def test_wrong_items_and_used_folders_are_refused(tmp_path):
    assert 'no such item' in call('--out', tmp_path, '--only', 'gone', expect=1)
    (tmp_path / 'results.jsonl').write_text('')
    assert 'has results already' in call('--out', tmp_path, '--device', 'cpu', expect=1)
