"""Templates of the paper's networks, and of fast ones, for option files."""

_EDSR = """type: EDSR
num_in_ch: 3
num_out_ch: 3
num_feat: {features}
num_block: {blocks}
upscale: {scale}
res_scale: {res_scale}
img_range: 255.
rgb_mean: [0.4488, 0.4371, 0.4040]
"""
_RCAN = """type: RCAN
num_in_ch: 3
num_out_ch: 3
num_feat: 64
num_group: 10
num_block: {blocks}
squeeze_factor: 16
upscale: {scale}
res_scale: 1
img_range: 255.
rgb_mean: [0.4488, 0.4371, 0.4040]
"""
_SWINIR = """type: SwinIR
upscale: {scale}
in_chans: 3
img_size: 64
window_size: 8
img_range: 1.
depths: {depths}
embed_dim: {dim}
num_heads: {depths}
mlp_ratio: 2
upsampler: {upsampler}
resi_connection: 1conv
"""
# Without img_range and rgb_mean: files of SPAN do not show them, and programs take the defaults.
_SPAN = """type: Spandrel  # pip install 'mtkd_basicsr[spandrel]'
arch: SPAN
num_in_ch: 3
num_out_ch: 3
feature_channels: 48
upscale: {scale}
"""
_COMPACT = """type: SRVGGNetCompact
num_in_ch: 3
num_out_ch: 3
num_feat: 64
num_conv: 16
upscale: {scale}
act_type: prelu
"""
_DCTSWIN = """type: DCTSwin
upscale: {scale}
in_chans: 9  # 3 for each teacher
num_out_ch: 3
img_size: 64
window_size: 8
img_range: 1.
depths: [4, 4]
embed_dim: 96
num_heads: [6, 6]
mlp_ratio: 2
upsampler: pixelshuffle
resi_connection: 1conv
dct_norm: ortho    # none: as the authors' code
shift_mask: none   # authors: as the authors' code
skip: adaptive     # none: as the paper. mean, learned, adaptive: a correction of a mix of \
the teachers, see docs/methods.md
"""

_SIX = '[6, 6, 6, 6, 6, 6]'
_FOUR = '[6, 6, 6, 6]'
_FOLDER = 'experiments/pretrained_models'
# The hash in the name of BasicSR's file differs from scale to scale.
_EDSR_FILES = {2: 'be38e77d', 3: '3660f70d', 4: '76ee1c8f'}

# Student -> (description in comments, name of its network in experiment names).
STUDENTS = {
    'edsr': ('an EDSR baseline', 'EDSR_Mx{scale}_f64b16'),
    'rcan': ('a lightweight RCAN', 'RCAN_x{scale}_g10b6'),
    'swinir': ('a lightweight SwinIR', 'SwinIR_Sx{scale}_w8d4c60'),
    'span': ('a SPAN, a fast network that is folded for use,', 'SPAN_x{scale}_f48'),
    'compact': (
        'an SRVGGNetCompact, the fast network of Real-ESRGAN,',
        'SRVGGNetCompact_x{scale}_f64c16',
    ),
}

# Student of the paper -> default feature positions of the student and of the teacher with the same
# arch.
POSITIONS = {
    'edsr': ("[body.4, body.9, 'upsample:input']", "[body.9, body.20, 'upsample:input']"),
    'rcan': ("[body.1, body.5, 'upsample:input']", "[body.1, body.5, 'upsample:input']"),
    'swinir': (
        "[layers.0, layers.1, 'upsample:input']",
        "[layers.1, layers.3, 'conv_before_upsample:input']",
    ),
}


def student(name: str, scale: int) -> str:
    """Return the network of a student.

    Those of the paper have 1.5 M (EDSR), 5.2 M (RCAN) and 0.9 M (SwinIR) parameters; SPAN has 2.2 M
    in training and 0.4 M folded, SRVGGNetCompact 0.6 M.
    """
    return {
        'edsr': _EDSR.format(features=64, blocks=16, res_scale=1, scale=scale),
        'rcan': _RCAN.format(blocks=6, scale=scale),
        'swinir': _SWINIR.format(depths=_FOUR, dim=60, upsampler='pixelshuffledirect', scale=scale),
        'span': _SPAN.format(scale=scale),
        'compact': _COMPACT.format(scale=scale),
    }[name]


def start(name: str) -> str:
    """Return what a student needs to start from random weights, as lines of ``train``."""
    if name != 'compact':
        return ''
    return '  init: he  # without it, a chain of so many convolutions learns nothing at first\n'


def fusion(scale: int) -> str:
    """Return the fusion network of the paper (1.3 M parameters)."""
    return _DCTSWIN.format(scale=scale)


def teacher(name: str, scale: int) -> tuple[str, str]:
    """Return the network of a teacher of the paper and the path of its weights.

    The teachers have 11.9 M (SwinIR), 43.1 M (EDSR) and 15.6 M (RCAN) parameters.
    """
    return {
        'swinir': (
            _SWINIR.format(depths=_SIX, dim=180, upsampler='pixelshuffle', scale=scale),
            f'{_FOLDER}/SwinIR/001_classicalSR_DF2K_s64w8_SwinIR-M_x{scale}.pth',
        ),
        'edsr': (
            _EDSR.format(features=256, blocks=32, res_scale=0.1, scale=scale),
            f'{_FOLDER}/EDSR/EDSR_Lx{scale}_f256b32_DIV2K_official-{_EDSR_FILES[scale]}.pth',
        ),
        'rcan': (_RCAN.format(blocks=20, scale=scale), f'{_FOLDER}/RCAN/RCAN_BIX{scale}.pt'),
    }[name]
