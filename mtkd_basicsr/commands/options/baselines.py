"""The baselines: the methods that the paper compares with, and a later one."""

# Name in file names -> train.kd.type, what the student learns from, publication.
METHODS = {
    'scratch': (
        'Scratch',
        'the ground truth alone',
        'No distillation: what the others are compared with',
    ),
    'logitkd': ('LogitKD', 'the output of one frozen teacher', 'Basic knowledge distillation'),
    'at': (
        'AT',
        'the output and the attention maps of one frozen teacher',
        'Zagoruyko, Komodakis: Paying More Attention to Attention, ICLR 2017',
    ),
    'fakd': (
        'FAKD',
        'the output and the feature affinities of one frozen teacher',
        'He et al.: FAKD: Feature-Affinity Based Knowledge Distillation for Efficient Image '
        'Super-Resolution, ICIP 2020',
    ),
    'dukd': (
        'DUKD',
        'one frozen teacher, also on images made out of the training images',
        'Zhang et al.: Data Upcycling Knowledge Distillation for Image Super-Resolution, arXiv '
        '2309.14162',
    ),
    'crosskd': (
        'CrossKD',
        "one frozen teacher's output, and from inside of it",
        'Fang et al.: (Dual) Cross Knowledge Distillation for Image Super-Resolution, 2022',
    ),
    'dckd': (
        'DCKD',
        "one frozen teacher's output, also in the features of a frozen VQGAN",
        'Zhou et al., AAAI 2025, arXiv 2412.08939',
    ),
}
# Those that the paper does not compare with.
LATER_METHODS = ('dckd',)
# Where DCKD's encoder lies.
ENCODER_WEIGHTS = 'experiments/pretrained_models/vqgan_imagenet_f16_1024.ckpt'
# (student, scale, or None for the other scales) -> DUKD's own loss weight of the ground truth, and
# whether it zooms out.
DUKD_WEIGHTS: dict[tuple[str, int | None], tuple[float, bool]] = {
    ('edsr', None): (5.0, True),
    ('rcan', None): (1.0, False),
    ('rcan', 3): (2.0, True),
    ('swinir', None): (5.0, False),
}
