"""Random numbers and checksums: published values, and the same bits on every device."""

import numpy
import pytest

import tensor
from tensor.philox import fold_key
from tensor.philox import philox as philox_of_arrays


def philox(counter, key):
    words = [numpy.array([each], numpy.uint64) for each in counter]
    return [int(word[0]) for word in philox_of_arrays(words, key)]


def test_philox_gives_the_published_answers():
    # kat_vectors of Random123 (Salmon et al.), philox4x32 10 rounds
    ones = 0xFFFFFFFF
    assert philox([0] * 4, (0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox([ones] * 4, (ones, ones)) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    digits_of_pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    expected = [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
    assert philox(digits_of_pi, (0xA4093822, 0x299F31D0)) == expected


@pytest.mark.parametrize(
    ("shape", "offset"), [((5,), 0), ((3, 7), 2), ((0,), 1), ((100001,), 5), ((), 3), (7, 2**33)]
)
def test_every_device_draws_numpys_bits(device, shape, offset):
    ours = tensor.random_uniform(shape, (1, -2, 3), counter=9, offset=offset)
    truth = tensor.random_uniform(shape, (1, -2, 3), counter=9, offset=offset, device="numpy")
    assert ours.shape == truth.shape
    assert numpy.asarray(ours).tobytes() == numpy.asarray(truth).tobytes()


def test_numbers_are_uniform(device):
    x = numpy.asarray(tensor.random_uniform(200_000, 5))
    assert 0 <= x.min() < 1e-4
    assert 1 - 1e-4 < x.max() < 1
    counts = numpy.histogram(x, 50, (0, 1))[0]
    assert ((counts - 4000) ** 2 / 4000).sum() < 100  # chi-square with 49 degrees of freedom: p ≈ 3e-5
    assert abs(numpy.corrcoef(x[:-1], x[1:])[0, 1]) < 0.01


def test_streams_are_sliced_by_offset_and_told_apart_by_key_and_counter(device):
    whole = numpy.asarray(tensor.random_uniform(100, (1, 2)))
    part = numpy.asarray(tensor.random_uniform(41, (1, 2), offset=59))
    assert (whole[59:] == part).all()
    others = [
        tensor.random_uniform(100, key, counter=c) for key, c in [((2, 1), 0), ((1, 2), 1), (1, 0), ((), 0)]
    ]
    assert all((numpy.asarray(each) != whole).mean() > 0.99 for each in others)
    assert len({fold_key(key) for key in [(), (0,), (0, 0), (1,), (0, 1), (1, 0), (-1,)]}) == 7


def test_the_counter_may_live_on_the_device(device):
    step = tensor.asarray([3])
    drawn = tensor.random_uniform(10, (4,), counter=step)
    assert (numpy.asarray(drawn) == numpy.asarray(tensor.random_uniform(10, (4,), counter=3))).all()
    with pytest.raises(tensor.errors.ShapeError, match="one element"):
        tensor.random_uniform(3, 1, counter=tensor.asarray([1, 2]))


def test_checksum_is_the_same_everywhere_and_sees_every_bit_and_place(device, generator):
    x = generator.normal(size=(1001, 33)).astype(numpy.float32)
    views = [
        x,
        x[1:],
        x[::2],
        x.T,
        x[:0],
        x.reshape(-1)[:1],
        x.astype(numpy.int8),
        x.astype(numpy.int8)[0, 1:4],
        x > 0,
    ]
    sums = [tensor.checksum(tensor.asarray(each)) for each in views]
    assert sums == [tensor.checksum(tensor.asarray(each, device="numpy")) for each in views]
    assert tensor.checksum(tensor.asarray(x)[1:]) == sums[1]
    assert tensor.checksum(tensor.asarray(x.astype(numpy.int8))[0, 1:4]) == sums[7]
    assert len(set(sums)) == len(sums)
    flipped = x.copy()
    flipped.view(numpy.uint32)[500, 20] ^= 1
    swapped = x.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    assert len({sums[0], *(tensor.checksum(tensor.asarray(each)) for each in (flipped, swapped))}) == 3
