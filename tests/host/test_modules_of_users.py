"""What is wrong in a module that an option file imports is said of the module, with its line."""

import sys
import textwrap

import pytest

from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.host.yaml_loader import read_options

MODULES = {
    'an unknown name': ('\nprint(undefined)', "NameError: name 'undefined' is not defined", 2),
    'a module that is not there': (
        'import nothing_there',
        "a module that it names cannot import: No module named 'nothing_there'",
        1,
    ),
    'a name that is not there': (
        'from torch import no_such_name',
        "a module that it names cannot import: cannot import name 'no_such_name' from 'torch'",
        1,
    ),
    'a dataclass that is not frozen': (
        """
        from dataclasses import dataclass
        from mtkd_basicsr.distillers import Method
        class Mine(Method):
            @dataclass
            class Options(Method.Options):
                mine: int = 3
        """,
        'TypeError: cannot inherit non-frozen dataclass from a frozen one',
        5,
    ),
    'no dataclass': (
        """
        from mtkd_basicsr.distillers import Method, register_method
        @register_method
        class Mine(Method):
            class Options(Method.Options):
                mine: int = 3
        """,
        'Mine.Options: expected a subclass of the Options of its base, decorated',
        3,
    ),
    'a function of its own': (
        """
        def fail():
            raise ValueError('of its own')
        fail()
        """,
        'ValueError: of its own',
        3,
    ),
    'a syntax error': ('\n\ndef f(:', 'invalid syntax', 3),
}


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, 'module_of_a_user', raising=False)

    def error_of(code, tag='module_of_a_user.Mine'):
        (tmp_path / 'module_of_a_user.py').write_text(textwrap.dedent(code))
        options = tmp_path / 'o.yml'
        options.write_text(f'mine: !!python/name:{tag}\n')
        with pytest.raises(OptionError) as error:
            read_options(options)
        text = str(error.value)
        assert text.startswith(f"-opt: '{options}'")
        return text

    return error_of


@pytest.mark.parametrize('what', MODULES)
def test_an_error_in_a_module_has_its_place(what, read):
    code, text, line = MODULES[what]
    said = read(code)
    assert text in said
    assert said.endswith(f'(module_of_a_user.py, line {line})'), said
    assert '\n' not in said


@pytest.mark.parametrize(
    ('tag', 'text'),
    [
        ('nowhere_at_all.Mine', "cannot find module 'nowhere_at_all'"),
        ('module_of_a_user.Other', "cannot find 'Other' in the module 'module_of_a_user'"),
        ('module_of_a_user.sub.Mine', "cannot find module 'module_of_a_user.sub'"),
    ],
)
def test_what_is_not_there_is_named_with_the_line_of_the_option_file(tag, text, read):
    said = read('Mine = 3', tag)
    assert 'line 1, column 7: ' in said
    assert text in said
