"""Checkpoints of Lightning name classes; they are read without that package, and without them."""

import os
import sys

import pytest
import torch
from helpers.encoders import vqgan_state, write_vqgan

from mtkd_basicsr.errors import WeightsError
from mtkd_basicsr.weights.reading import read_weights
from mtkd_basicsr.weights.state_dicts import state_dict_of

KEY = 'train.kd.encoder_weights'
needs_stand_ins = pytest.mark.skipif(
    not hasattr(torch.serialization, 'safe_globals'), reason='since torch 2.5'
)


@needs_stand_ins
def test_tensors_beside_classes_of_lightning_are_read(tmp_path):
    path = write_vqgan(tmp_path / 'last.ckpt', seed=4)
    modules = set(sys.modules)
    content = read_weights(path, KEY)
    assert set(sys.modules) == modules, 'nothing is imported'
    state = state_dict_of(content, path, KEY)
    expected = vqgan_state(4)
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    (stand_in,) = content['callbacks']
    assert stand_in.__module__ == 'pytorch_lightning.callbacks.model_checkpoint'
    assert stand_in not in torch.serialization.get_safe_globals(), 'only for this file'


def test_plain_torch_refuses_such_a_file(tmp_path):
    path = write_vqgan(tmp_path / 'last.ckpt')
    with pytest.raises(Exception, match=r'pytorch_lightning\.callbacks'):
        torch.load(path, weights_only=True)


def test_an_older_torch_says_what_it_refuses(tmp_path, monkeypatch):
    monkeypatch.delattr(torch.serialization, 'safe_globals', raising=False)
    path = write_vqgan(tmp_path / 'last.ckpt')
    with pytest.raises(WeightsError, match=r'pytorch_lightning\.callbacks.*is not executed'):
        read_weights(path, KEY)


class _Command:
    """Runs a command when it is unpickled."""

    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        return os.mkdir, (self.name,)


def test_nothing_in_it_is_executed(tmp_path):
    folder = tmp_path / 'made'
    content = {'state_dict': vqgan_state(), 'hyper_parameters': _Command(str(folder))}
    torch.save(content, tmp_path / 'evil.ckpt')
    with pytest.raises(WeightsError, match=r'it would call \w+\.mkdir, and is not executed'):
        read_weights(str(tmp_path / 'evil.ckpt'), KEY)
    assert not folder.exists()
