"""Option files are in UTF-8, with or without its mark, whatever the locale is."""

import codecs
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import run, stock, write_options

from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.host.startup import TEXT_MODULES, encoding_of, open_text
from mtkd_basicsr.host.yaml_loader import read_options

COMMENT = '# Größe – 训练\n'
# A locale that every machine has, and without UTF-8.
ASCII = {'LC_ALL': 'C', 'PYTHONCOERCECLOCALE': '0', 'PYTHONUTF8': '0', 'PYTHONIOENCODING': 'utf-8'}


@pytest.mark.parametrize('mark', ['', '\ufeff'], ids=['plain', 'with a mark'])
def test_an_option_file_is_read_in_utf_8(mark, tmp_path):
    path = tmp_path / 'options.yml'
    path.write_text(f'{mark}{COMMENT}name: Größe\n', encoding='utf-8')
    assert dict(read_options(path)) == {'name': 'Größe'}


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-16-le', 'utf-16-be'])
def test_utf_16_is_refused_by_name(encoding, tmp_path):
    marks = {'utf-16-le': codecs.BOM_UTF16_LE, 'utf-16-be': codecs.BOM_UTF16_BE}
    path = tmp_path / 'options.yml'
    path.write_bytes(marks.get(encoding, b'') + 'name: x\n'.encode(encoding))
    with pytest.raises(OptionError, match=r'options.yml.*it is a text in UTF-16; save it in UTF-8'):
        read_options(path)
    with pytest.raises(ValueError, match=r'options.yml.*UTF-16'):
        open_text(path)


@pytest.mark.parametrize(
    ('content', 'encoding'),
    [
        (b'', 'utf-8'),
        (COMMENT.encode(), 'utf-8'),
        (codecs.BOM_UTF8 + COMMENT.encode(), 'utf-8-sig'),
        ('训练'.encode('gbk'), None),
        ('Größe'.encode('latin-1'), None),
    ],
)
def test_the_encoding_is_that_of_the_contents(content, encoding):
    assert encoding_of(content) == encoding


@pytest.mark.parametrize('mark', [b'', codecs.BOM_UTF8], ids=['plain', 'with a mark'])
def test_basicsr_puts_its_lines_behind_the_mark(mark, tmp_path, monkeypatch):
    from basicsr.utils.options import copy_opt_file

    (tmp_path / 'here').mkdir()
    (tmp_path / 'options.yml').write_bytes(mark + f'{COMMENT}name: x\n'.encode())
    monkeypatch.setattr(sys, 'argv', ['train', os.fsdecode(b'caf\xe9')])  # no UTF-8
    copy_opt_file(str(tmp_path / 'options.yml'), str(tmp_path / 'here'))
    copied = (tmp_path / 'here' / 'options.yml').read_bytes()
    assert copied.startswith(mark + b'# GENERATE TIME')
    assert copied.count(codecs.BOM_UTF8) == (1 if mark else 0)
    assert b'# train caf\xe9\n' in copied
    assert copied.endswith(f'{COMMENT}name: x\n'.encode())


def test_a_list_of_names_may_have_a_mark(photographs, tmp_path):
    from basicsr.data.data_util import paired_paths_from_meta_info_file

    names = tmp_path / 'names.txt'
    names.write_text('\ufeffgröße.png (96,120,3)\n', encoding='utf-8')
    paths = paired_paths_from_meta_info_file(['lq', 'gt'], ['lq', 'gt'], str(names), '{}')
    assert paths == [{'lq_path': 'lq/größe.png', 'gt_path': 'gt/größe.png'}]


def test_modules_that_came_first_are_repaired_too(tmp_path):
    code = (
        'import sys; sys.meta_path[:] = [f for f in sys.meta_path if "Text" not in repr(f)]\n'
        'import basicsr.utils.options as o, basicsr.data.data_util as d\n'
        'assert "open" not in vars(o), "the finder was there"\n'
        'from mtkd_basicsr.host import patches; patches.apply()\n'
        'assert o.open is d.open is patches.startup.open_text\n'
    )
    run([sys.executable, '-c', code], tmp_path)
    assert 'basicsr.utils.options' in TEXT_MODULES


def _check_training(folder, printed):
    assert 'Logging error' not in printed
    copied = (folder / 'options.yml').read_text(encoding='utf-8')
    assert COMMENT in copied
    assert yaml.safe_load(copied.replace('!!python/name:', ''))['name'] == 'texts'
    (log,) = folder.glob('train_*.log')
    assert 'End of training' in log.read_text(encoding='utf-8')


@pytest.mark.slow
def test_trainings_in_a_locale_without_utf_8(basicsr_tree, make_options, tmp_path):
    opt = make_options('KDModel', name='texts', train__kd={'type': 'Scratch'})
    header = COMMENT + 'mtkd_basicsr: !!python/name:mtkd_basicsr.__version__\n'
    Path(write_options(tmp_path / 'options.yml', {})).write_text(
        header + yaml.safe_dump(opt, sort_keys=False), encoding='utf-8'
    )
    command = [sys.executable, '-m', 'mtkd_basicsr', 'train', '-opt', 'options.yml']
    printed = run(command, tmp_path, **ASCII)
    _check_training(tmp_path / 'experiments' / 'texts', printed)
    shutil.rmtree(basicsr_tree / 'experiments' / 'texts', ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ASCII.items():
            patch.setenv(name, value)
        printed = stock(basicsr_tree, 'train.py', '-opt', tmp_path / 'options.yml')
    _check_training(basicsr_tree / 'experiments' / 'texts', printed)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('localedef'), reason='there is no localedef')
def test_options_in_the_locale_of_a_chinese_windows(tmp_path):
    made = subprocess.run(
        ['localedef', '-c', '-i', 'zh_CN', '-f', 'GBK', str(tmp_path / 'zh_CN.GBK')],
        capture_output=True,
    )
    if not (tmp_path / 'zh_CN.GBK').exists():
        pytest.skip(f'localedef: {made.stderr!r}')
    code = (
        'import locale, sys, yaml\n'
        'assert locale.getpreferredencoding().lower() == "gbk"\n'
        'from basicsr.utils.options import open as opened\n'
        'for path in sys.argv[1:]:\n'
        '    with opened(path) as file: print(ascii(yaml.safe_load(file)))\n'
    )
    locale = {'LOCPATH': str(tmp_path), 'LC_ALL': 'zh_CN.GBK', 'PYTHONIOENCODING': 'utf-8'}
    paths = []
    for encoding in ('utf-8', 'utf-8-sig', 'gbk'):  # BasicSR could read the last one, and can still
        paths.append(tmp_path / f'{encoding}.yml')
        paths[-1].write_text('name: 训练\n', encoding=encoding)
    printed = run([sys.executable, '-c', code, *paths], tmp_path, **locale)
    assert printed == "{'name': '\\u8bad\\u7ec3'}\n" * 3
