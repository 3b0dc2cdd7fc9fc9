"""Option values in the types that JSON knows."""

import json
from collections import OrderedDict

import numpy as np
import torch

from mtkd_basicsr.utils.json_types import of_other_types, to_json_types

OPTIONS = OrderedDict(
    depths=(2, np.int64(3)),
    norm_layer=torch.nn.LayerNorm,
    nested=[{'act': torch.relu, 4: None}, torch.nn.GELU()],
    rate=np.float32(0.5),
    on=True,
    name='a',
)


def test_everything_is_what_json_gives_back():
    values = to_json_types(OPTIONS)
    assert json.loads(json.dumps(values)) == values
    assert values == {
        'depths': [2, 3],
        'norm_layer': 'torch.nn.modules.normalization.LayerNorm',
        'nested': [
            {'act': values['nested'][0]['act'], '4': None},
            'torch.nn.modules.activation.GELU',
        ],
        'rate': 0.5,
        'on': True,
        'name': 'a',
    }
    assert values['nested'][0]['act'].endswith('.relu')


def test_what_cannot_be_read_back_is_named():
    assert list(of_other_types(OPTIONS, 'n')) == ['n.norm_layer', 'n.nested.act', 'n.nested']
    assert not list(of_other_types({'a': [1, {'b': np.int32(2)}]}, 'n'))
