"""The benchmarks run: each at its smallest, for its form and not for its figures."""

import re
import sys

import pytest
from conftest import ROOT, run

CALLS = {
    'step.py': ['--runs', '1', '--batch', '1', '--size', '8', '--small'],
    'loader.py': ['--runs', '1', '--images', '1'],
    'wavelet.py': ['--runs', '1'],
    'methods.py': ['--runs', '1', '--batch', '1', '--small'],
    'cache.py': ['--runs', '1', '--images', '2'],
    'kills.py': ['--kills', '3'],
    'memory.py': ['--iterations', '20', '--points', '2'],
    'mix_fit.py': ['--runs', '1', '--images', '2'],
    'cache_start.py': ['--images', '3', '--size', '96', '144'],
    'cache_kills.py': ['--kills', '2', '--images', '2'],
}


@pytest.mark.slow
@pytest.mark.parametrize('script', sorted(CALLS))
def test_benchmarks_print_a_table_and_ratios(script):
    printed = run(
        [sys.executable, ROOT / 'benchmarks' / script, *CALLS[script]], cwd=ROOT / 'benchmarks'
    )
    assert re.search(r'^\|---', printed, re.M), printed
    assert re.search(r'^torch \d.*native bfloat16.*threads$', printed, re.M), printed
    assert re.search(r'ratio| / |kills|against the student', printed)


def test_every_other_benchmark_is_tested():
    elsewhere = {'timing.py', 'fusion.py', 'tiling.py', 'teachers.py'}
    elsewhere |= {'collect.py', 'spreadsheets.py', 'tables.py'}  # test_results.py
    elsewhere |= {'gpu.py'}  # test_gpu_script.py
    assert {p.name for p in (ROOT / 'benchmarks').glob('*.py')} - elsewhere == set(CALLS)
