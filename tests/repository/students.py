"""Print the table of docs/methods.md: which student passes with which method.

    python tests/repository/students.py

Each cell is one step of a tiny network (tests/helpers/students.py): the gradient has reached every
parameter, every parameter has changed, and the exported file, opened by spandrel where it knows the
network, gives the same image.
"""

import contextlib
import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from conftest import write_photographs
from helpers.students import METHODS, STUDENTS, cut_of, trained

COLUMNS = ('student', *METHODS, 'features read at', 'CrossKD reads', 'CrossKD enters', 'opened as')


def row(student, photographs, root):
    """Return the cells of a student."""
    cells = {'student': student}
    for method in METHODS:
        folder = Path(tempfile.mkdtemp(dir=root))
        with contextlib.redirect_stdout(io.StringIO()):
            outcome = trained(student, method, photographs, folder)
        cells[method] = 'pass' if outcome.passed else 'fail'
        positions = f'`{", ".join(outcome.positions)}`'
        if method == 'FAKD':
            cells['features read at'] = positions
        if method == 'CrossKD':
            cells['CrossKD reads'] = positions
        cells['opened as'] = outcome.opened_as or 'only by BasicSR'
    cells['CrossKD enters'] = f'`{cut_of(student)}`'
    return cells


def main():
    print('| ' + ' | '.join(COLUMNS) + ' |')
    print('|---' * len(COLUMNS) + '|')
    passed = True
    with tempfile.TemporaryDirectory() as root:
        photographs = write_photographs(Path(root) / 'photographs')
        for student in STUDENTS:
            cells = row(student, photographs, root)
            print('| ' + ' | '.join(cells[name] for name in COLUMNS) + ' |', flush=True)
            passed = passed and 'fail' not in cells.values()
    return 0 if passed else 1


if __name__ == '__main__':
    sys.exit(main())
