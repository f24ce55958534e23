"""docs/tensor.md says what is: every example in it runs, and every row of its table gives NumPy's result."""

import doctest
import re
from pathlib import Path

import numpy
import pytest

import tensor
from tests.devices import best_devices

_DEVICES = [pytest.param(tensor.device(each), id=each) for each in best_devices()]
pytestmark = pytest.mark.parametrize("device", _DEVICES, indirect=True)

GUIDE = Path(__file__).parents[2] / "docs" / "tensor.md"
_ONLY_OPENCL = re.compile(r"<!-- opencl -->\n```python\n.*?```", re.DOTALL)


class Checker(doctest.OutputChecker):
    """Takes any device where the guide names one."""

    def check_output(self, want, got, optionflags):
        want, got = (re.sub(r"(device=|^)(numpy|opencl:\d+:\d+)\b", r"\1…", each) for each in (want, got))
        return super().check_output(want, got, optionflags)


def guide(device):
    """The guide as doctest reads it: fences are blank lines, so that they end an example's output."""
    text = GUIDE.read_text(encoding="utf-8")
    if device.backend != "opencl":
        text = _ONLY_OPENCL.sub(lambda found: "\n" * found[0].count("\n"), text)
    return re.sub(r"^```.*$", "", text, flags=re.MULTILINE)


def test_every_example_gives_what_it_says(device, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    parser = doctest.DocTestParser()
    examples = parser.get_doctest(guide(device), {}, "tensor.md", str(GUIDE), 0)
    assert len(examples.examples) > 30
    runner = doctest.DocTestRunner(Checker(), optionflags=doctest.ELLIPSIS)
    failures = []
    runner.run(examples, out=failures.append, clear_globs=False)
    assert not failures, "".join(failures)


def rows():
    """The cells of the guide's table: MATLAB's word, NumPy's expression, ours."""
    for line in GUIDE.read_text(encoding="utf-8").splitlines():
        cells = [each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and cells[2].startswith("`") and cells[1].startswith("`"):
            yield [each.strip("`").replace("\\|", "|") for each in cells]


def names(namespace, asarray):
    """What the table's expressions are about, as the guide says it."""
    A = asarray(numpy.array([[4, 1, 2], [1, 5, 3], [2, 3, 6]], numpy.float32))
    B = asarray(numpy.arange(9, dtype=numpy.float32).reshape(3, 3))
    v = asarray(numpy.array([3, 1, 2, 1], numpy.float32))
    return {"np": numpy, "tensor": namespace, "A": A, "B": B, "v": v}


def values(result):
    if isinstance(result, tuple | list):
        return [values(each) for each in result]
    return numpy.asarray(result)


def assert_same(ours, theirs):
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for each in zip(ours, theirs, strict=True):
            assert_same(*each)
    else:
        assert ours.shape == theirs.shape
        numpy.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("matlab", "theirs", "ours"), list(rows()))
def test_every_row_of_the_table_gives_numpys_result(device, tmp_path, monkeypatch, matlab, theirs, ours):
    monkeypatch.chdir(tmp_path)
    here, there = names(tensor, tensor.asarray), names(numpy, numpy.array)
    if ";" in ours:  # statements, then what they lead to
        (*before, last), (*before_theirs, last_theirs) = ours.split("; "), theirs.split("; ")
        exec("; ".join(before), here)
        exec("; ".join(before_theirs), there)
        ours, theirs = last, last_theirs
    result, expected = values(eval(ours, here)), values(eval(theirs, there))
    if "rand" in ours or "empty" in ours:  # other numbers, the same kind of thing
        assert result.shape == expected.shape
    else:
        assert_same(result, expected)
