"""The benchmarks run: each at its smallest, for its form and not for its figures."""

import re
import sys

import pytest
from conftest import ROOT, run

CALLS = {
    'step.py': ['--runs', '1', '--batch', '1', '--size', '8', '--small'],
    'loader.py': ['--runs', '1', '--images', '1'],
    'launches.py': ['--runs', '1', '--small'],
    'wavelet.py': ['--runs', '1'],
    'affinity.py': ['--runs', '1', '--batch', '1'],
    'methods.py': ['--runs', '1', '--batch', '1', '--small'],
    'cache.py': ['--runs', '1', '--images', '8', '--size', '64'],
    'kills.py': ['--kills', '3'],
    'folding.py': ['--runs', '1', '--size', '16', '24'],
    'memory.py': ['--iterations', '20', '--points', '2'],
    'pipeline.py': ['--small', '--budget', '0.1'],
    'mix_fit.py': ['--runs', '1', '--images', '2'],
    'cache_start.py': ['--images', '3', '--size', '96', '144'],
    'layouts.py': ['--runs', '1', '--images', '2', '--samples', '1', '--size', '240', '320'],
    'sub_images.py': ['--images', '1', '--size', '480', '720'],
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
    elsewhere = {'timing.py', 'fusion.py', 'tiling.py', 'reference_models.py'}
    # test_results.py
    elsewhere |= {'collect.py', 'spreadsheets.py', 'tables.py', 'headline.py', 'matrices.py'}
    elsewhere |= {'page_tables.py'}
    elsewhere |= {'gains_methods.py'}  # test_gains.py
    elsewhere |= {'equal_seconds.py', 'first_screen.py', 'stages.py'}  # test_pictures.py
    elsewhere |= {'gpu.py'}  # test_gpu_script.py
    assert {p.name for p in (ROOT / 'benchmarks').glob('*.py')} - elsewhere == set(CALLS)
