"""Colours and lines of methods in figures."""

import pytest
from conftest import ROOT

from mtkd_basicsr.commands.compare.plan import read_plan
from mtkd_basicsr.commands.compare.report.styles import base_name, method_styles
from mtkd_basicsr.distillers import METHODS

PLANS = sorted((ROOT / 'options' / 'compare').glob('*.yml'))


def colours(methods):
    return {method: style.colour for method, style in method_styles(methods).items()}


def test_every_method_of_the_package_has_a_colour_of_its_own():
    found = colours(METHODS)
    assert len(set(found.values())) == len(METHODS)
    # Those in another plan are the same, in any order and beside any others.
    for method in METHODS:
        assert colours(['my-method', method])[method] == found[method]
    assert colours(reversed(list(METHODS))) == found


@pytest.mark.parametrize('path', PLANS, ids=lambda path: path.stem)
def test_a_plan_draws_each_method_in_its_own_way(path):
    methods = list(read_plan(path).methods)
    styles = method_styles(methods)
    assert list(styles) == methods
    looks = [(style.colour, style.line) for style in styles.values()]
    assert len(set(looks)) == len(looks)


def test_the_same_method_has_the_same_colour_in_two_plans():
    reference = colours(read_plan(ROOT / 'options' / 'compare' / 'reference.yml').methods)
    long = colours(read_plan(ROOT / 'options' / 'compare' / 'long.yml').methods)
    shared = {method for method in long if base_name(method) in reference}
    assert {base_name(method) for method in shared} >= {'scratch', 'LogitKD', 'MTKD'}
    for method in shared:
        assert reference[base_name(method)] == long[method]
    assert {colour for method, colour in reference.items() if method.startswith('MTKD')} == {
        long['MTKD+3.5x']
    }


def test_variants_of_a_colour_differ_in_their_lines():
    styles = method_styles(['MTKD+FAKD', 'FAKD', 'MTKD+3.5x', 'FAKD+3.5x', 'MTKD-2e-5'])
    lines = {method: style.line for method, style in styles.items()}
    # The longest training of the method itself is the solid one.
    assert (lines['MTKD+3.5x'], lines['FAKD+3.5x']) == ('-', '-')
    assert lines['FAKD'] == '--'
    assert len({lines[method] for method in lines if method.startswith('MTKD')}) == 3
    assert method_styles(['FAKD'])['FAKD'].line == '-', 'alone it needs no other line'


def test_other_names_have_the_colours_that_are_left():
    styles = method_styles(['scratch', 'mine', 'Attention', 'yours+FAKD', 'AT'])
    assert len({style.colour for style in styles.values()}) == 5, 'Attention is not AT'
    known = set(colours(METHODS).values())
    many = method_styles([f'm{i}' for i in range(40)])
    assert len({(style.colour, style.line) for style in many.values()}) == 40
    unavailable = set(colours(['Scratch', 'MTKD']).values())
    assert unavailable < known
    assert not unavailable & {style.colour for style in many.values()}


def test_mtkd_stands_out():
    widths = {method: style.width for method, style in method_styles(METHODS).items()}
    assert all(widths['MTKD'] > width for method, width in widths.items() if method != 'MTKD')
