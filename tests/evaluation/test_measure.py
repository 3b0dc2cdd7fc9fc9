import torch

from mtkd_basicsr.distillers import training_config
from mtkd_basicsr.evaluation import measure
from mtkd_basicsr.teachers import ensemble


def test_all_references_are_measured_in_one_precision(make_options, monkeypatch):
    """On a GPU teachers run in bfloat16 by default; a table must not mix it with fp32."""
    asked = []
    decide = ensemble.teacher_precision

    def as_on_a_gpu(precision, device):
        asked.append(precision)
        return decide(precision or 'bf16', device)

    monkeypatch.setattr(ensemble, 'teacher_precision', as_on_a_gpu)
    config = training_config(make_options('MTKDModel'))
    functions, precisions = measure.references(config, 'cpu')
    assert asked == ['fp32']
    assert precisions == {'teachers': 'fp32', 'target': 'fp32'}
    lq = torch.rand(1, 3, 12, 16)
    outputs = torch.stack([functions[f'teacher {name}'](lq) for name in config.teachers])
    mean = functions['mean of teachers'](lq)
    torch.testing.assert_close(mean, outputs.clamp(0, 1).mean(0), rtol=0, atol=1e-6)
