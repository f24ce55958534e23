"""Softmax cross-entropy in both directions against PyTorch, on every device."""

import numpy
import pytest

import tensor

torch = pytest.importorskip("torch")

GPU_KERNELS_TOO = True


@pytest.mark.parametrize(("n", "k"), [(64, 10), (1, 1), (3, 1000), (0, 4), (257, 3)])
def test_loss_and_derivative_agree_with_pytorch(device, generator, n, k):
    logits = (generator.normal(size=(n, k)) * 20).astype(numpy.float32)
    labels = generator.integers(0, k, n).astype(numpy.int32)
    dlosses = generator.normal(size=n).astype(numpy.float32)
    reference = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(reference, torch.tensor(labels).long(), reduction="none")
    (gradient,) = torch.autograd.grad(expected, reference, torch.tensor(dlosses))
    x, t = tensor.asarray(logits), tensor.asarray(labels)
    losses = tensor.softmax_cross_entropy(x, t)
    numpy.testing.assert_allclose(numpy.asarray(losses), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    dlogits = tensor.softmax_cross_entropy_backward(x, t, tensor.asarray(dlosses))
    numpy.testing.assert_allclose(numpy.asarray(dlogits), gradient.numpy(), rtol=1e-4, atol=1e-6)


def test_huge_logits_do_not_overflow(device):
    x = tensor.asarray(numpy.array([[1e4, -1e4], [-3e38, 3e38]], numpy.float32))
    losses = tensor.softmax_cross_entropy(x, tensor.asarray([0, 1]))
    assert numpy.asarray(losses).tolist() == [0, 0]


def test_a_label_that_does_not_exist_makes_the_loss_nan(device):
    losses = tensor.softmax_cross_entropy(tensor.zeros((3, 2)), tensor.asarray([0, 2, -1]))
    assert numpy.isnan(numpy.asarray(losses)).tolist() == [False, True, True]


def test_views_are_taken(device, generator):
    x = generator.normal(size=(10, 6)).astype(numpy.float32)
    labels = numpy.array([1, 9, 3, 9, 5, 9, 0, 9, 2, 9, 4, 9], numpy.int32)
    strided = tensor.softmax_cross_entropy(tensor.asarray(x).T, tensor.asarray(labels)[::2])
    dense = tensor.softmax_cross_entropy(tensor.asarray(x.T), tensor.asarray(labels[::2]))
    numpy.testing.assert_allclose(numpy.asarray(strided), numpy.asarray(dense), rtol=1e-6)


def test_one_derivative_may_stand_for_all(device, generator):
    logits = tensor.asarray(generator.normal(size=(7, 5)).astype(numpy.float32))
    labels = tensor.asarray(numpy.arange(7) % 5)
    for dlosses in (tensor.broadcast_to(tensor.asarray(numpy.float32(0.5)), (7,)), tensor.arange(21.0)[1::3]):
        ours = tensor.softmax_cross_entropy_backward(logits, labels, dlosses)
        whole = tensor.softmax_cross_entropy_backward(logits, labels, dlosses.copy())
        assert numpy.asarray(ours).tobytes() == numpy.asarray(whole).tobytes()


def test_wrong_inputs_are_named(device):
    with pytest.raises(tensor.errors.ShapeError, match=r"got \(3, 2\) and \(2,\)"):
        tensor.softmax_cross_entropy(tensor.zeros((3, 2)), tensor.zeros(2, "int32"))
    with pytest.raises(tensor.errors.DTypeError, match="integer labels"):
        tensor.softmax_cross_entropy(tensor.zeros((3, 2)), tensor.zeros(3))
