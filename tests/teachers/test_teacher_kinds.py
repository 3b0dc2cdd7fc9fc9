"""Teachers that BasicSR does not know: what spandrel builds, and folders of images; and all kinds
in one run.
"""

import importlib
import os
import re
import sys

import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from basicsr.metrics import calculate_psnr
from conftest import ROOT, build, dataset, mtkd, parsed, tiny, write_options, write_weights

from mtkd_basicsr.config import parse_fusion, parse_teachers
from mtkd_basicsr.config.teacher_kinds import FolderOptions
from mtkd_basicsr.data.cache.reader import CacheReader
from mtkd_basicsr.errors import CacheError, DataError, OptionError, WeightsError
from mtkd_basicsr.teachers import FusedTeachers, TeacherEnsemble
from mtkd_basicsr.utils.image_folder import ImageFolder
from mtkd_basicsr.utils.images import psnr_y

GOLDEN = ROOT / 'tests' / 'golden'
ARCHS = {
    'SPAN': {'num_in_ch': 3, 'num_out_ch': 3, 'feature_channels': 8},
    'HAT': {
        'img_size': 16,
        'embed_dim': 32,
        'depths': (1,),
        'num_heads': (2,),
        'window_size': 4,
        'upsampler': 'pixelshuffle',
    },
    'DAT': {
        'img_size': 16,
        'split_size': (2, 4),
        'depth': (2,),
        'embed_dim': 32,
        'num_heads': (2,),
    },
}


def foreign(arch, path, key='params_ema', scale=2, **changes):
    """Weights of a small network of spandrel's, and the network."""
    torch.manual_seed(0)
    net = getattr(importlib.import_module(f'spandrel.architectures.{arch}'), arch)(
        upscale=scale, **{**ARCHS[arch], **changes}
    ).eval()
    torch.save({key: net.state_dict()} if key else net.state_dict(), path)
    return net, {'network': {'type': 'Spandrel'}, 'weights': str(path)}


def ensemble(teachers, **changes):
    return TeacherEnsemble(parse_teachers({'teachers': teachers}), 2, **changes)


@pytest.mark.parametrize('arch', ARCHS)
@pytest.mark.parametrize('size', [(16, 16), (18, 23), (5, 7)])
def test_spandrel_builds_it_off_its_weights(tmp_path, arch, size):
    _, block = foreign(arch, tmp_path / 'net.pth')
    teachers = ensemble({'a': block})
    lq = torch.rand(2, 3, *size)
    output = teachers(lq)
    assert output.shape == (2, 3, 2 * size[0], 2 * size[1])
    assert f'Teacher a: {arch} (spandrel), ' in teachers.describe()[0]
    from spandrel import ModelLoader

    expected = ModelLoader().load_from_file(tmp_path / 'net.pth').eval()
    with torch.no_grad():
        # The padding is another one: what is far from it is the same.
        difference = (output - expected(lq)).abs()
    assert (
        difference.max() < 1e-6
        if expected.size_requirements.check(*size[::-1])
        else difference[..., :2, :2].max() < 0.05
    )


@pytest.mark.parametrize('key', [None, 'params', 'state_dict', 'model'])
def test_weights_are_found_wherever_they_are_in_the_file(tmp_path, key):
    net, block = foreign('SPAN', tmp_path / 'net.pth', key)
    lq = torch.rand(1, 3, 12, 9)
    with torch.no_grad():
        assert torch.equal(ensemble({'a': block})(lq), net(lq).clamp(0, 1))


def test_an_entry_of_the_file_can_be_named(tmp_path):
    net, block = foreign('SPAN', tmp_path / 'net.pth')
    state = {name: torch.zeros_like(value) for name, value in net.state_dict().items()}
    torch.save({'params_ema': state, 'mine': net.state_dict()}, tmp_path / 'net.pth')
    lq = torch.rand(1, 3, 12, 9)
    with torch.no_grad():
        assert torch.equal(ensemble({'a': {**block, 'param_key': 'mine'}})(lq), net(lq).clamp(0, 1))
    with pytest.raises(
        WeightsError, match="teachers.a.weights: .* has no 'other'; it has params_ema, mine"
    ):
        ensemble({'a': {**block, 'param_key': 'other'}})


def test_a_foreign_teacher_gives_features(tmp_path, make_options, photographs):
    """A method that reads features takes the positions that it is given, or finds the blocks."""
    from mtkd_basicsr.distillers import Distiller, TeacherProvider, training_config

    _, block = foreign('SPAN', tmp_path / 'net.pth')
    opt = make_options('KDModel')
    opt['teachers'] = {'a': block}
    opt['train'].update(distill_opt={'type': 'L1Loss'}, kd={'type': 'FAKD'})
    config = training_config(opt)
    distiller = Distiller(config, TeacherProvider(config, 'cpu', build(opt['network_g'])))
    assert distiller.describe()[-1] == (
        'train.kd.teacher_features: model.block_2, model.block_4, model.block_6 of SPAN (spandrel)'
    )
    opt['train']['kd'].update(
        teacher_features=['model.conv_1', 'model.upsampler:input'],
        student_features=['body.0', 'upsample:input'],
    )
    from basicsr.models import build_model

    model = build_model(parsed(opt, True, tmp_path))
    model.feed_data({'lq': torch.rand(2, 3, 16, 16), 'gt': torch.rand(2, 3, 32, 32)})
    model.optimize_parameters(1)
    assert model.get_current_log()['l_fakd'] > 0


@pytest.mark.parametrize(
    ('change', 'error', 'text'),
    [
        (
            {'network': {'type': 'Spandrel', 'upscale': 2}},
            OptionError,
            r'teachers.a.network.upscale: Spandrel takes no arguments, because it infers them '
            r'from the weights',
        ),
        ({'weights': 'gone.pth'}, WeightsError, "teachers.a.weights: no file 'gone.pth'"),
        (
            {'network': {'type': 'spandrel'}},
            OptionError,
            "teachers.a.network.type: unknown arch 'spandrel'",
        ),
    ],
)
def test_files_that_cannot_be_a_foreign_teacher_are_refused(tmp_path, change, error, text):
    _, block = foreign('SPAN', tmp_path / 'net.pth')
    with pytest.raises(error, match=text):
        ensemble({'a': {**block, **change}})


def test_weights_that_spandrel_cannot_use_are_refused(tmp_path):
    path = tmp_path / 'net.pth'
    torch.save({'params': {'some.weight': torch.zeros(2), 'other.weight': torch.zeros(2)}}, path)
    with pytest.raises(
        WeightsError,
        match='spandrel knows no network that it fits .*; its first keys are some.weight, '
        'other.weight',
    ):
        ensemble({'a': {'network': {'type': 'Spandrel'}, 'weights': str(path)}})
    _, block = foreign('SPAN', path, scale=4)
    with pytest.raises(
        OptionError,
        match=r'teachers.a: output \(1, 3, 64, 64\) for input \(1, 3, 16, 16\); scale is 2',
    ):
        ensemble({'a': block})
    _, block = foreign('HAT', path, in_chans=1)
    with pytest.raises(
        WeightsError,
        match=r'is HAT for SR, 1 to 1 channels; expected super-resolution \(SR\) of RGB images',
    ):
        ensemble({'a': block})


def test_a_missing_spandrel_is_named(tmp_path, monkeypatch):
    _, block = foreign('SPAN', tmp_path / 'net.pth')
    monkeypatch.setitem(sys.modules, 'spandrel', None)
    with pytest.raises(
        OptionError,
        match=r'teachers.a.network.type: Spandrel needs an extra: pip install '
        r"'mtkd_basicsr\[spandrel\]'",
    ):
        ensemble({'a': block})


# Folders


@pytest.fixture
def outputs(photographs, tmp_path):
    """What some teacher has made of the training and validation images: the truth, two levels
    darker.
    """
    for split in ('train', 'val'):
        (tmp_path / 'sr' / split).mkdir(parents=True)
        for path in (photographs / split / 'GT').iterdir():
            cv2.imwrite(
                str(tmp_path / 'sr' / split / path.name), np.maximum(cv2.imread(str(path)), 2) - 2
            )
    return tmp_path / 'sr'


def with_folder(opt, outputs, **changes):
    opt['teachers'] = {
        'sr': {'images': str(outputs / 'train'), **changes},
        **opt.get('teachers', {}),
    }
    opt['datasets']['train'].update(
        type='DistillImageDataset', target_cache=str(outputs / 'cache.lmdb')
    )
    return opt


def trained(here, folder, opt):
    """Trains; gives whether a checkpoint is there at the end."""
    here('train', '-opt', write_options(folder / f'{opt["name"]}.yml', opt))
    return (folder / 'experiments' / opt['name'] / 'models' / 'net_g_latest.pth').is_file()


def test_images_are_found_by_names_endings_and_patterns(tmp_path):
    for name in ('a.png', 'b_x2_SR.png', 'deep/c.bmp', 'deep/a.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((4, 6, 3), 9, np.uint8))
    folder = FolderOptions(str(tmp_path)).folder('k')
    pattern = FolderOptions(str(tmp_path / '{}_x2_SR.png')).folder('k')
    assert (
        folder.find('a.jpg')
        == folder.find('/elsewhere/a.tif')
        == folder.find('other/a.png')
        == str(tmp_path / 'a.png')
    )
    assert folder.find('deep/a.png') == str(tmp_path / 'deep/a.png'), 'its own folder comes first'
    assert folder.find('deep/c.png') == str(tmp_path / 'deep/c.bmp')
    assert folder.find('b.png') is None
    assert pattern.find('b.png') == str(tmp_path / 'b_x2_SR.png')
    assert pattern.exists()
    assert not FolderOptions(str(tmp_path / 'gone' / '{}.png')).folder('k').exists()
    assert ImageFolder(folder).read('a.png', (4, 6)).shape == (4, 6, 3)


@pytest.mark.slow
def test_a_folder_is_cached_with_the_networks_and_fused(
    make_options, outputs, photographs, tmp_path, here
):
    """Its images are taken as they are, the fusion network gets them at the place of their name,
    and both stages train.
    """
    fusion = tiny('DCTSwin', 2, in_chans=6)
    opt = with_folder(make_options('MTKDModel'), outputs, val_images=str(outputs / 'val'))
    opt['teachers'] = {name: opt['teachers'][name] for name in ('edsr', 'sr')}
    opt['fusion'] = {
        'network': fusion,
        'weights': write_weights(tmp_path / 'f.pth', fusion, 7, mtkd={'teachers': ['sr', 'edsr']}),
    }
    printed = here('cache', '-opt', write_options(tmp_path / 'o.yml', opt))
    assert 'PSNR on Y of 3 images: target ' in printed
    reader = CacheReader(opt['datasets']['train']['target_cache'])
    teachers = TeacherEnsemble(parse_teachers(opt), 2, allow_precomputed=True)
    target = FusedTeachers(teachers, parse_fusion(opt))
    assert target.ensemble.names == ['sr', 'edsr']
    for i, (name, _, _) in enumerate(reader.manifest['images']):
        lq = torch.from_numpy(reader.array(i, 'lq')[..., ::-1].copy()).permute(2, 0, 1)[None] / 255
        given = (
            torch.from_numpy(cv2.imread(str(outputs / 'train' / name))[..., ::-1].copy()).permute(
                2, 0, 1
            )[None]
            / 255
        )
        expected = target.fusion(
            torch.cat([given, TeacherEnsemble({'edsr': parse_teachers(opt)['edsr']}, 2)(lq)], 1)
        ).clamp(0, 1)
        found = torch.from_numpy(reader.array(i, 'target')[..., ::-1].copy()).permute(2, 0, 1) / 255
        assert (found - expected[0].detach()).abs().max() < 0.51 / 255 + 1e-6
    assert trained(here, tmp_path, opt)

    first = with_folder(
        make_options('MTKDFusionModel', network_g=tiny('DCTSwin', 2, in_chans=6, skip='mean')),
        outputs,
        val_images=str(outputs / 'val'),
    )
    first['teachers'] = {name: first['teachers'][name] for name in ('rcan', 'sr')}
    first['datasets']['train']['target_cache'] = str(tmp_path / 'teachers.lmdb')
    printed = here('cache', '-opt', write_options(tmp_path / 'first.yml', first))
    assert 'sr 43.' in printed, 'two levels in all channels are 1.7 on Y'
    assert 'rcan ' in printed, 'two levels in all channels are 1.7 on Y'
    reader = CacheReader(tmp_path / 'teachers.lmdb')
    for i, (name, _, _) in enumerate(reader.manifest['images']):
        assert np.array_equal(
            reader.array(i, 'teacher/sr'), cv2.imread(str(outputs / 'train' / name))
        )
    assert trained(here, tmp_path, first)


@pytest.mark.parametrize(
    'arguments', [('--self-ensemble',), ('--tile', '20', '--tile-overlap', '4')]
)
def test_a_folder_is_the_same_in_tiles_and_turned(make_options, outputs, tmp_path, here, arguments):
    opt = with_folder(make_options('MTKDFusionModel'), outputs, val_images=str(outputs / 'val'))
    here('cache', '-opt', write_options(tmp_path / 'o.yml', opt), *arguments)
    reader = CacheReader(outputs / 'cache.lmdb')
    for i, (name, _, _) in enumerate(reader.manifest['images']):
        assert np.array_equal(
            reader.array(i, 'teacher/sr'), cv2.imread(str(outputs / 'train' / name))
        )


@pytest.mark.slow
def test_validation_of_stage_1_takes_the_images_of_the_validation(
    make_options, outputs, photographs, tmp_path
):
    """A fusion network that is the mean of a folder alone measures what the folder measures."""
    network = tiny('DCTSwin', 2, in_chans=3, skip='mean')
    weights = tmp_path / 'mean.pth'
    torch.save({'params': build_network(dict(network)).state_dict()}, weights)
    opt = with_folder(
        make_options('MTKDFusionModel', network_g=network, path__pretrain_network_g=str(weights)),
        outputs,
        val_images=str(outputs / 'val'),
    )
    opt['teachers'].pop('edsr'), opt['teachers'].pop('rcan'), opt['teachers'].pop('swinir')
    opt['datasets'] = {'test_1': dataset(photographs, 'val', 2)}
    printed = mtkd('test', '-opt', write_options(tmp_path / 'test.yml', opt), cwd=tmp_path)
    values = [
        calculate_psnr(
            cv2.imread(str(p)),
            cv2.imread(str(photographs / 'val' / 'GT' / p.name)),
            crop_border=2,
            test_y_channel=True,
        )
        for p in (outputs / 'val').iterdir()
    ]
    assert f'# psnr: {np.mean(values):.4f}' in printed


def test_a_folder_changes_the_cache_it_belongs_to(make_options, outputs, tmp_path, here):
    opt = with_folder(make_options('MTKDFusionModel'), outputs, val_images=str(outputs / 'val'))
    here('cache', '-opt', write_options(tmp_path / 'o.yml', opt))
    moved = outputs.rename(tmp_path / 'moved')
    opt = with_folder(make_options('MTKDFusionModel'), moved, val_images=str(moved / 'val'))
    assert 'is complete' in here('cache', '-opt', write_options(tmp_path / 'o.yml', opt)), (
        'another place is no difference'
    )
    (moved / 'train' / 'unused.png').write_bytes(b'more files are none either')
    assert 'is complete' in here('cache', '-opt', tmp_path / 'o.yml')
    image = cv2.imread(str(moved / 'train' / 'moon.png'))
    cv2.imwrite(str(moved / 'train' / 'moon.png'), image // 2)
    from basicsr.models import build_model

    with pytest.raises(
        CacheError,
        match=r'teachers.sr.images: other files \(SHA-256 \w{12} in the cache, \w{12} here\)',
    ):
        build_model(parsed(opt, True, tmp_path))


@pytest.mark.parametrize(
    ('break_it', 'text'),
    [
        (
            lambda folder: (folder / 'train' / 'moon.png').unlink(),
            r'no image for 1 of 3 ground truths \(moon.png\); expected their names',
        ),
        (
            lambda folder: cv2.imwrite(
                str(folder / 'train' / 'moon.png'), np.zeros((50, 60, 3), np.uint8)
            ),
            r"moon.png' has 50×60 pixels; expected 96×120, the size of the ground truth",
        ),
        (
            lambda folder: (folder / 'train' / 'moon.png').write_bytes(b'no image'),
            r"moon.png' cannot be read as an image",
        ),
        (lambda folder: (folder / 'train').rename(folder / 'gone'), r"no folder '\S+train'"),
    ],
)
def test_folders_that_do_not_fit_the_images_are_refused(
    make_options, outputs, tmp_path, here, break_it, text
):
    opt = with_folder(make_options('MTKDFusionModel'), outputs, val_images=str(outputs / 'val'))
    break_it(outputs)
    printed = here('cache', '-opt', write_options(tmp_path / 'o.yml', opt), expect=1)
    assert re.search(f'teachers.sr.images: .*{text}', printed)
    assert not (outputs / 'cache.lmdb').exists()
    assert not (outputs / 'cache.lmdb.partial').exists()


@pytest.mark.parametrize('phase', ['val', 'val_2'])
def test_a_training_finds_first_that_a_folder_lacks_validation_images(
    make_options, outputs, tmp_path, here, phase
):
    opt = make_options('MTKDFusionModel', network_g=tiny('DCTSwin', 2, in_chans=12))
    opt = with_folder(opt, outputs, val_images=str(outputs / 'val'))
    here('cache', '-opt', write_options(tmp_path / 'o.yml', opt))
    block = opt['datasets']['val']
    if phase == 'val_2':
        train_block = opt['datasets']['train']
        block = {**block, 'name': 'more', 'dataroot_gt': train_block['dataroot_gt']}
        opt['datasets'][phase] = {**block, 'dataroot_lq': train_block['dataroot_lq']}
    else:
        sorted((outputs / 'val').iterdir())[-1].unlink()
    for command in ('train', 'check'):
        try:
            printed = here(command, '-opt', write_options(tmp_path / 'o.yml', opt), expect=1)
        except SystemExit:  # of a check
            printed = here.printed()
        assert re.search(
            r"teachers\.sr\.val_images: '\S+val' has no image for \d of \d gr", printed
        )
    assert not (tmp_path / 'experiments').exists()


def test_stage_1_needs_the_weights_that_its_validations_need(cached, tmp_path, here):
    opt = cached['MTKDFusionModel']
    path = opt['teachers']['edsr']['weights']
    os.remove(path)
    printed = here('train', '-opt', write_options(tmp_path / 'o.yml', opt), expect=1)
    assert f"teachers.edsr.weights: no file '{path}'" in printed
    assert not (tmp_path / 'experiments').exists()
    del opt['datasets']['val']
    del opt['val']
    here('train', '-opt', write_options(tmp_path / 'o.yml', opt))


def test_a_folder_cannot_be_run(make_options, outputs, tmp_path):
    from basicsr.models import build_model

    text = 'teachers.sr.images: a folder of images cannot be run like a network'
    opt = with_folder(make_options('MTKDFusionModel'), outputs, val_images=str(outputs / 'val'))
    with pytest.raises(OptionError, match=text):
        build_model(parsed(opt, True, tmp_path))
    with pytest.raises(
        OptionError,
        match='teachers.sr.val_images: missing; the fusion network is measured on datasets.val',
    ):
        build_model(parsed(with_folder(make_options('MTKDFusionModel'), outputs), True, tmp_path))
    opt = with_folder(
        make_options('MTKDModel', train__kd={'type': 'LogitKD', 'teacher': 'sr'}), outputs
    )
    with pytest.raises(OptionError, match=text):
        build_model(parsed(opt, True, tmp_path))


@pytest.mark.parametrize(
    ('kd', 'fine'),
    [({'type': 'LogitKD', 'teacher': 'sr'}, True), ({'type': 'AT', 'teacher': 'sr'}, False)],
)
def test_methods_train_on_the_images_of_a_folder(make_options, outputs, tmp_path, here, kd, fine):
    opt = with_folder(
        make_options('KDModel', train__distill_opt={'type': 'L1Loss'}, train__kd=kd), outputs
    )
    path = write_options(tmp_path / 'o.yml', opt)
    here('cache', '-opt', path)
    if fine:
        assert trained(here, tmp_path, opt)
    else:
        assert 'a folder of images cannot be run like a network' in here(
            'train', '-opt', path, expect=1
        )


@pytest.mark.parametrize(
    ('block', 'text'),
    [
        (
            {'images': 'sr', 'weights': 'x.pth'},
            "teachers.sr: 'images' and 'weights'; expected either images",
        ),
        ({'images': ['sr']}, r"teachers.sr.images: \['sr'\]; expected a string"),
        ({'val_images': 'sr'}, "teachers.sr: key 'images' is missing"),
        (
            {'images': 'sr', 'val_image': 'sr'},
            r"unknown key 'val_image'; known: images, val_images \(did you mean 'val_images'",
        ),
    ],
)
def test_wrong_blocks_are_refused(block, text):
    with pytest.raises(OptionError, match=text):
        parse_teachers({'teachers': {'sr': block}})


def test_psnr_is_that_of_basicsr(photographs):
    a, b = (
        cv2.imread(str(photographs / 'val' / 'GT' / name)) for name in ('chelsea.png', 'coffee.png')
    )
    assert psnr_y(a, b, 3) == pytest.approx(
        calculate_psnr(a, b, crop_border=3, test_y_channel=True), abs=1e-3
    )
    assert psnr_y(a, a, 2) == float('inf')


def test_reading_refuses_what_is_not_there(outputs):
    folder = ImageFolder(FolderOptions(str(outputs / 'train')).folder('teachers.sr'))
    with pytest.raises(DataError, match=r"teachers.sr.images: '\S+' has no image for 'other.png'"):
        folder.read('other.png', (4, 4))


# All of them


def edsr_pytorch(path, scale, num_feat=8, num_block=2):
    """A file as EDSR-PyTorch writes it, and the block that reads it."""
    network = tiny('EDSR', scale, num_feat=num_feat, num_block=num_block)
    state = build(network, 3).state_dict()
    names = {
        'conv_first': 'head.0',
        'conv_after_body': f'body.{num_block}',
        'upsample': 'tail.0',
        'conv_last': 'tail.1',
    }
    released = {}
    for name, value in state.items():
        part, _, rest = name.partition('.')
        if part == 'body':
            number, conv, kind = rest.split('.')
            released[f'body.{number}.body.{ {"conv1": 0, "conv2": 2}[conv] }.{kind}'] = value
        elif part in names:
            released[f'{names[part]}.{rest}'] = value
    mean = 255 * torch.tensor([0.4488, 0.4371, 0.4040])
    for name, sign in (('sub_mean', -1), ('add_mean', 1)):
        released.update(
            {f'{name}.weight': torch.eye(3)[:, :, None, None], f'{name}.bias': sign * mean}
        )
    torch.save(released, path)
    return {'network': network, 'weights': str(path)}


@pytest.mark.slow
def test_teachers_of_every_kind_in_one_run(make_options, outputs, tmp_path, here):
    """EDSR-PyTorch's file, the official RCAN's, SwinIR's, a network of spandrel's, and a folder:
    cached, fused, learned from.
    """
    case = next(
        c
        for c in torch.load(GOLDEN / 'formats.pth', weights_only=True)
        if c['file'] == 'rcan_official_x2.pt'
    )
    opt = make_options('MTKDModel')
    swinir = opt['teachers']['swinir']
    torch.save(torch.load(swinir['weights'], weights_only=True)['params'], tmp_path / 'swinir.pth')
    opt['teachers'] = {
        'edsr': edsr_pytorch(tmp_path / 'edsr.pt', 2),
        'rcan': {'network': case['network'], 'weights': str(GOLDEN / case['file'])},
        'swinir': {**swinir, 'weights': str(tmp_path / 'swinir.pth')},
        'span': foreign('SPAN', tmp_path / 'span.pth')[1],
    }
    opt = with_folder(opt, outputs, val_images=str(outputs / 'val'))
    names = list(opt['teachers'])
    network = tiny('DCTSwin', 2, in_chans=15, skip='adaptive')
    assert len(names) == 5

    stage1 = make_options(
        'MTKDFusionModel',
        network_g=network,
        teachers=opt['teachers'],
        name='stage1',
        train__mix_batches=1,
    )
    stage1['datasets']['train'].update(
        type='DistillImageDataset', target_cache=str(tmp_path / 'teachers.lmdb')
    )
    path = write_options(tmp_path / 'stage1.yml', stage1)
    printed = here('cache', '-opt', path)
    assert all(f'{name} ' in printed.split('PSNR on Y of 3 images: ')[1] for name in names)
    assert trained(here, tmp_path, stage1)

    opt['fusion'] = {
        'network': network,
        'weights': str(tmp_path / 'experiments' / 'stage1' / 'models' / 'net_g_latest.pth'),
    }
    path = write_options(tmp_path / 'stage2.yml', opt)
    here('cache', '-opt', path)
    assert trained(here, tmp_path, opt)
