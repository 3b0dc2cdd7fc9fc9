"""The students that people deploy: every method trains them, and what is exported opens elsewhere.

``python tests/repository/students.py`` prints the table of docs/methods.md.
"""

import pytest
from conftest import ROOT
from helpers.distillation import batch_of, kd_options, losses, model_of
from helpers.students import METHODS, STUDENTS, trained

# Spandrel's name of what is exported; it knows no MSRResNet.
OPENED_AS = {
    'SPAN': 'SPAN',
    'Compact': 'RealESRGAN Compact',
    'ECBSR': 'RealESRGAN Compact',
    'MSRResNet': None,
    'RealPLKSR': 'PLKSR',
    'RCAN': 'RCAN',
    'SwinIR': 'SwinIR',
}


def documented(student):
    """The row of a student in docs/methods.md, by column."""
    page = (ROOT / 'docs' / 'methods.md').read_text(encoding='utf-8')
    table = page.partition('| student |')[2].partition('\n\n')[0].splitlines()
    columns = [cell.strip() for cell in table[0].split('|')]
    for row in table[2:]:
        cells = [cell.strip() for cell in row.split('|')]
        if cells[1] == student:
            return dict(zip(columns, cells[2:], strict=False))
    raise AssertionError(f'{student} is not in the table')


@pytest.mark.parametrize('student', STUDENTS)
@pytest.mark.parametrize('method', METHODS)
def test_a_step_reaches_every_parameter_and_the_result_opens_elsewhere(
    photographs, tmp_path, student, method
):
    exporting = method == 'MTKD'  # the file does not depend on the method
    outcome = trained(student, method, photographs, tmp_path, exporting)
    assert outcome.without_gradient == []
    assert outcome.unchanged == []
    assert outcome.difference < 1e-5
    if exporting:
        assert outcome.opened_as == OPENED_AS[student]
    row = documented(student)
    assert row[method] == 'pass'
    positions = ', '.join(outcome.positions)
    if method == 'FAKD':
        assert row['features read at'] == f'`{positions}`'
    if method == 'CrossKD':
        assert row['CrossKD reads'] == f'`{positions}`'


@pytest.mark.parametrize('student', STUDENTS)
def test_a_student_can_be_the_teacher_of_another(photographs, tmp_path, student):
    """CrossKD needs to know where to cut it, and FAKD where its features are."""
    trained(student, 'LogitKD', photographs, tmp_path, exporting=False)
    weights = tmp_path / 'experiments' / 'kd' / 'models' / 'net_g_1.pth'
    opt = kd_options(photographs, tmp_path, {'type': 'CrossKD', 'also': ['FAKD']}, student='RCAN')
    opt['teachers'] = {'own': {'weights': str(weights)}}  # the checkpoint records its network
    opt['name'] = 'second'
    model = model_of(opt, tmp_path)
    found = losses(model, batch_of())
    assert set(found) == {'l_pix', 'l_distill', 'l_cross', 'l_fakd'}
    (found['l_cross'] + found['l_fakd']).backward()
    net = model.get_bare_model(model.net_g)
    reached = [p for name, p in net.named_parameters() if name.startswith('body')]
    assert all(p.grad is not None and p.grad.any() for p in reached)
    splice = model.distiller.methods[0].splice
    assert documented(student)['CrossKD enters'] == f'`{splice.position}`'
