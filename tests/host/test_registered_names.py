"""Names that BasicSR's registries resolve: ``SRVGGNetCompact`` is ``SRVGGNetCompact_basicsr``."""

import pytest
import torch
from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
)
from conftest import parsed, write_options
from helpers.trainings import batch_of, model_of

from mtkd_basicsr.checks.findings import Findings
from mtkd_basicsr.checks.optimizer import check_metrics, refuse_unknown_model
from mtkd_basicsr.checks.static import check_datasets
from mtkd_basicsr.commands import export, upscale
from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.errors import OptionError
from mtkd_basicsr.host.api import registered_name
from mtkd_basicsr.losses.build import build as build_loss
from mtkd_basicsr.weights.networks import build

SRVGG = {'type': 'SRVGGNetCompact', 'num_feat': 8, 'num_conv': 3, 'upscale': 2}


@pytest.mark.parametrize(
    ('registry', 'name', 'known'),
    [
        (ARCH_REGISTRY, 'SRVGGNetCompact', 'SRVGGNetCompact_basicsr'),
        (ARCH_REGISTRY, 'SRVGGNetCompact_basicsr', 'SRVGGNetCompact_basicsr'),
        (ARCH_REGISTRY, 'EDSR', 'EDSR'),
        (ARCH_REGISTRY, 'EDRS', None),
        (ARCH_REGISTRY, None, None),
        (ARCH_REGISTRY, ['EDSR'], None),
        (MODEL_REGISTRY, 'RealESRNetModel', 'RealESRNetModel_basicsr'),
        (DATASET_REGISTRY, 'RealESRGANDataset', 'RealESRGANDataset_basicsr'),
        (METRIC_REGISTRY, 'calculate_psnr', 'calculate_psnr'),
    ],
)
def test_a_registry_is_asked_as_basicsr_asks_it(registry, name, known, capsys):
    assert registered_name(registry, name) == known
    assert capsys.readouterr().out == ''
    if known is not None:
        assert registry.get(name) is registry.get(known)


@pytest.fixture
def suffixed():
    """A loss and a metric that are registered with the suffix."""

    class OwnLoss(torch.nn.Module):
        def forward(self, pred, target):
            return (pred - target).abs().sum()

    def calculate_own(img, img2, crop_border):
        return float(crop_border)

    LOSS_REGISTRY.register(OwnLoss, suffix='basicsr')
    METRIC_REGISTRY.register(calculate_own, suffix='basicsr')
    yield
    del LOSS_REGISTRY._obj_map['OwnLoss_basicsr']
    del METRIC_REGISTRY._obj_map['calculate_own_basicsr']


def test_losses_metrics_models_and_datasets(suffixed, make_options):
    assert build_loss({'type': 'OwnLoss'}, 'train.pixel_opt')(torch.ones(2), torch.zeros(2)) == 2
    refuse_unknown_model('RealESRNetModel')
    opt = make_options('KDModel', train__kd={'type': 'Scratch'})
    opt['val']['metrics'] = {'own': {'type': 'calculate_own', 'crop_border': 2}}
    opt['datasets']['val_2'] = {**opt['datasets']['val'], 'type': 'RealESRGANPairedDataset'}
    findings = Findings()
    config = training_config(opt)
    check_metrics(config, findings)
    check_datasets(config, findings)
    assert not findings.failed, findings
    opt['val']['metrics'] = {'own': {'type': 'calculate_on', 'crop_border': 2}}
    check_metrics(training_config(opt), findings)
    assert "unknown metric 'calculate_on'" in str(findings)
    with pytest.raises(OptionError, match="model_type: 'RealESRNetModl'; known: "):
        refuse_unknown_model('RealESRNetModl')


@pytest.mark.parametrize('kd', ['MTKD', 'FAKD'])
def test_student_and_teacher(make_options, tmp_path, kd):
    opt = make_options('MTKDModel', network_g=SRVGG)
    torch.manual_seed(3)
    torch.save({'params': build(SRVGG, 'n').state_dict()}, tmp_path / 't.pth')
    opt['teachers']['edsr'] = {'network': SRVGG, 'weights': str(tmp_path / 't.pth')}
    if kd == 'FAKD':
        opt.update(model_type='KDModel')
        opt['train']['kd'] = {'type': 'FAKD', 'teacher': 'edsr'}
    model = model_of(opt, tmp_path)
    model.feed_data(batch_of(opt, tmp_path))
    model.optimize_parameters(1)
    assert model.metadata()['network']['type'] == 'SRVGGNetCompact'
    model.save(0, 1)
    path = tmp_path / 'experiments' / opt['name'] / 'models' / 'net_g_1.pth'
    assert path.is_file()


def test_check_upscale_and_export(here, make_options, photographs, tmp_path):
    opt = make_options('KDModel', network_g=SRVGG, train__kd={'type': 'Scratch'})
    printed = here('check', '-opt', write_options(tmp_path / 'o.yml', opt))
    assert '0 errors' in printed
    model = model_of(parsed(opt), tmp_path)
    model.save(0, 1)
    weights = tmp_path / 'experiments' / opt['name'] / 'models' / 'net_g_1.pth'
    images = [photographs / 'val' / 'LRx2' / 'chelsea.png']
    assert upscale(images, weights=weights, out=tmp_path / 'large')[0].is_file()
    assert export(weights, out=tmp_path / 'a.safetensors').is_file()
