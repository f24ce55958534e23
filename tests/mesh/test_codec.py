"""The codecs against a brute-force oracle, the error bars of the literature, and the edges of float32."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import mesh.codec
from mesh.codec import CodecError, NonFiniteError
from mesh.codec.codebook import LINEAR, TREE
from tensor.errors import MeshError

EIGHT_BIT = ["dettmers8", "adaptive8"]
TINY = float(numpy.finfo(numpy.float32).tiny)
HUGE = float(numpy.finfo(numpy.float32).max)


def normal(size, seed=0):
    return numpy.random.default_rng(seed).standard_normal(size).astype(numpy.float32)


def closed_form():
    """The tree's 126 values in float64, straight from its description."""
    values = []
    for decade in range(6):
        for low, high in ((0.10, 0.45), (0.45, 1.0)):
            edges = numpy.linspace(low, high, 2**decade + 1)
            values += list((edges[1:] + edges[:-1]) / 2 * 10.0 ** (decade - 5))
    return numpy.array(values)


def candidates(scale, book):
    """What a receiver can make of `scale`: float64 of the float32 products, denormals flushed."""
    products = (
        (book.magnitudes.astype(numpy.float64) * float(scale)).astype(numpy.float32).astype(numpy.float64)
    )
    return numpy.where(products < TINY, 0, products)


def oracle(values, block, book=TREE):
    """The nearest decodable value of each value, by trying all; the tie goes to the smaller magnitude."""
    decoded = numpy.zeros(len(values), numpy.float32)
    for start in range(0, len(values), block):
        part = values[start : start + block].astype(numpy.float64)
        part[numpy.abs(part) < TINY] = 0
        choices = candidates(numpy.abs(part).max(), book)
        nearest = numpy.abs(numpy.abs(part)[:, None] - choices[None, :]).argmin(axis=1)
        decoded[start : start + block] = numpy.where(part < 0, -choices[nearest], choices[nearest])
    return decoded


def sqnr_db(exact, decoded):
    signal, noise = exact.astype(numpy.float64), exact.astype(numpy.float64) - decoded
    return 10 * numpy.log10((signal**2).sum() / (noise**2).sum())


def test_the_tree_is_the_one_of_the_paper():
    numpy.testing.assert_allclose(TREE.magnitudes[1:127], closed_form(), rtol=1.2e-7)
    assert (TREE.magnitudes[0], TREE.magnitudes[127]) == (0, 1)
    assert (numpy.diff(TREE.magnitudes) > 0).all()


def test_codes_have_the_numbers_of_2016():
    assert TREE.signed[126] == 0
    assert (TREE.signed[127], TREE.signed[255]) == (1, -1)
    assert TREE.signed[0] == numpy.float32(2.75e-6)
    assert TREE.signed[128] == -TREE.signed[0]
    assert TREE.signed[125] == pytest.approx(0.99140625)


def test_the_linear_book_has_equal_steps():
    numpy.testing.assert_allclose(LINEAR.magnitudes, numpy.arange(128) / 127, rtol=1.2e-7)
    assert LINEAR.magnitudes[127] == 1


@pytest.mark.parametrize("block", [1, 3, 64, 256, 2048, 100_000])
def test_every_value_gets_its_exact_nearest_code(block):
    values = normal(20_011)
    codec = mesh.codec.by_name("dettmers8", block)
    decoded = codec.decode(codec.encode(values), values.size)
    numpy.testing.assert_array_equal(decoded, oracle(values, block))


@pytest.mark.parametrize("book", [TREE, LINEAR], ids=lambda book: book.name)
@pytest.mark.parametrize("scale", [1.0, 0.7310586, 3.4e38, 1e19, 1e-19, 3e-32, 1.2e-38, 4.7e-33])
def test_values_around_every_middle_are_decided_exactly(book, scale):
    """A few float32 steps about each boundary: where a rounded quotient would decide wrongly."""
    choices = candidates(numpy.float32(scale), book)
    middles = ((choices[1:] + choices[:-1]) / 2).astype(numpy.float32).view(numpy.int32)
    steps = (middles[:, None] + numpy.arange(-40, 41)[None, :]).ravel()
    values = steps[steps >= 0].astype(numpy.int32).view(numpy.float32)
    values = numpy.concatenate([[numpy.float32(scale)], values, -values]).astype(numpy.float32)
    codec = mesh.codec.blockwise.BlockCodec("one book", values.size, (book,))
    decoded = codec.decode(codec.encode(values), values.size)
    numpy.testing.assert_array_equal(decoded, oracle(values, values.size, book))


def test_the_tie_goes_to_the_smaller_magnitude():
    middle = (TREE.magnitudes[90] + TREE.magnitudes[91]) / 2
    assert middle - TREE.magnitudes[90] == TREE.magnitudes[91] - middle  # exact in float32
    codec = mesh.codec.by_name("dettmers8")
    decoded = codec.decode(codec.encode(numpy.array([1, middle, -middle], numpy.float32)), 3)
    assert list(decoded) == [1, TREE.magnitudes[90], -TREE.magnitudes[90]]


@pytest.mark.parametrize(
    ("name", "block", "least_db", "largest_mean_error"),
    [
        ("dettmers8", 2048, 39.3, 0.0084),
        ("dettmers8", 256, 40.25, 0.0076),
        ("adaptive8", 256, 43.0, 0.0076),
        ("fp16", 256, 73.0, 0.0002),
    ],
)
def test_error_on_a_million_normal_values(name, block, least_db, largest_mean_error):
    values = normal(1_000_000)
    codec = mesh.codec.by_name(name, block)
    decoded = codec.decode(codec.encode(values), values.size)
    assert sqnr_db(values, decoded) >= least_db
    assert numpy.abs(values - decoded).mean() <= largest_mean_error
    assert abs((values - decoded).mean()) <= 1e-4
    assert numpy.abs(decoded).mean() / numpy.abs(values).mean() == pytest.approx(1, abs=1e-3)


def test_adaptive_takes_the_better_book_of_each_block():
    values = normal(256 * 200)
    values[: 256 * 100] **= 9  # a few values dominate these blocks: the tree's case
    codec = mesh.codec.by_name("adaptive8")
    payload = codec.encode(values)
    linear = numpy.signbit(numpy.frombuffer(payload[: 4 * 200], "<f4"))
    errors = [
        ((values.astype(numpy.float64) - oracle(values, 256, book)).reshape(200, 256) ** 2).sum(axis=1)
        for book in (TREE, LINEAR)
    ]
    clear = (
        numpy.abs(numpy.log(errors[0] / errors[1])) > 0.01
    )  # errors are counted in steps, not to the last bit
    assert clear.sum() > 180
    assert 50 < linear.sum() < 150
    numpy.testing.assert_array_equal(linear[clear], (errors[1] < errors[0])[clear])


@pytest.mark.parametrize("name", mesh.codec.names())
@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 70_000])
def test_any_length(name, size):
    values = normal(size)
    codec = mesh.codec.by_name(name)
    payload = codec.encode(values)
    assert isinstance(payload, bytes)
    assert len(payload) == codec.payload_bytes(size)
    decoded = codec.decode(payload, size)
    assert decoded.shape == (size,)
    assert decoded.dtype == numpy.float32
    numpy.testing.assert_allclose(decoded, values, atol=0.05)


def test_payload_layout():
    payload = mesh.codec.by_name("dettmers8", block=2).encode(numpy.array([0, -2, 0.5], numpy.float32))
    assert payload == numpy.array([2, 0.5], "<f4").tobytes() + bytes([126, 255, 127])


@pytest.mark.parametrize("name", EIGHT_BIT)
def test_zeros_and_denormals_become_zeros(name):
    codec = mesh.codec.by_name(name, block=4)
    values = numpy.array([0.0, -0.0, 1e-40, -TINY / 2, 1, 1e-40, -1e-45, 0], numpy.float32)
    payload = codec.encode(values)
    assert numpy.frombuffer(payload[:8], "<f4").tolist() == [0, 1]
    decoded = codec.decode(payload, 8)
    assert decoded.tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert not numpy.signbit(decoded).any()


@pytest.mark.parametrize("name", mesh.codec.names())
@pytest.mark.parametrize("bad", [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize("index", [0, 300, 69_999])
def test_non_finite_values_are_never_encoded(name, bad, index):
    values = normal(70_000)
    values[index] = bad
    values[-1] = bad
    with pytest.raises(NonFiniteError, match=f"index {index}") as caught:
        mesh.codec.by_name(name).encode(values)
    assert caught.value.index == index


def test_half_precision_refuses_what_it_would_turn_into_infinity():
    with pytest.raises(NonFiniteError, match="index 1"):
        mesh.codec.by_name("fp16").encode(numpy.array([65504, 65520], numpy.float32))


@pytest.mark.parametrize("name", mesh.codec.names())
def test_decode_add_is_decode_and_add(name):
    values, total = normal(1000), normal(1000, seed=1)
    codec = mesh.codec.by_name(name)
    payload = codec.encode(values)
    expected = total + codec.decode(payload, 1000)
    codec.decode_add(memoryview(payload), total)
    numpy.testing.assert_array_equal(total, expected)


@pytest.mark.parametrize("name", mesh.codec.names())
def test_wrong_lengths_are_refused(name):
    codec = mesh.codec.by_name(name)
    payload = codec.encode(normal(300))
    for wrong in (payload[:-1], payload + b"\0", b""):
        with pytest.raises(CodecError, match="300 values has"):
            codec.decode(wrong, 300)
    with pytest.raises(CodecError, match="-1 values"):
        codec.decode(payload, -1)
    with pytest.raises(CodecError, match="-1 values"):
        codec.payload_bytes(-1)


@pytest.mark.parametrize("name", EIGHT_BIT)
@pytest.mark.parametrize("scale", [numpy.nan, numpy.inf, -numpy.inf, 1e-40, -0.0])
def test_scales_that_no_encoder_makes_are_refused(name, scale):
    codec = mesh.codec.by_name(name, block=4)
    payload = bytearray(codec.encode(normal(10)))
    payload[4:8] = numpy.array([scale], "<f4").tobytes()
    total = numpy.zeros(10, numpy.float32)
    with pytest.raises(CodecError, match="block 1"):
        codec.decode_add(payload, total)
    assert not total.any()


def test_a_negative_scale_means_linear_to_adaptive8_only():
    payload = mesh.codec.by_name("adaptive8").encode(numpy.linspace(-1, 1, 255, dtype=numpy.float32))
    with pytest.raises(CodecError, match="block 0"):
        mesh.codec.by_name("dettmers8").decode(payload, 255)


@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_plain_payloads_with_non_finite_values_are_refused(name):
    codec = mesh.codec.by_name(name)
    payload = numpy.array([1, numpy.nan], "<f4" if name == "fp32" else "<f2").tobytes()
    with pytest.raises(CodecError, match="NaN"):
        codec.decode(payload, 2)


def test_names_and_arguments_that_do_not_exist():
    with pytest.raises(MeshError, match="dettmers8, adaptive8, fp32, fp16"):
        mesh.codec.by_name("zip")
    with pytest.raises(CodecError, match="block"):
        mesh.codec.by_name("dettmers8", block=0)
    for wrong in (numpy.zeros(3), numpy.zeros((2, 2), numpy.float32)):
        with pytest.raises(CodecError, match="flat float32"):
            mesh.codec.by_name("dettmers8").encode(wrong)


@pytest.mark.parametrize("name", mesh.codec.names())
@pytest.mark.parametrize("scale", [1.0, 1e-38, 1e-33, 1e-30, 1e30, 3e38])
def test_second_pass_is_bit_identical(name, scale):
    if name == "fp16" and scale > 1:
        scale = 1e3
    values = numpy.clip(normal(30_000) / 5, -1, 1) * numpy.float32(scale)
    codec = mesh.codec.by_name(name)
    payload = codec.encode(values)
    assert codec.encode(codec.decode(payload, values.size)) == payload


def float_vectors(**limits):
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False, **limits)
    return arrays.arrays(numpy.float32, st.integers(0, 40), elements=finite)


@given(values=float_vectors(), block=st.integers(1, 20), name=st.sampled_from(EIGHT_BIT))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_vector_reaches_a_fixed_point_at_once(values, block, name):
    codec = mesh.codec.by_name(name, block)
    payload = codec.encode(values)
    decoded = codec.decode(payload, values.size)
    assert codec.encode(decoded) == payload
    assert not ((decoded != 0) & (numpy.abs(decoded) < TINY)).any()


@given(values=float_vectors(), block=st.integers(1, 20))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_vector_gets_its_nearest_codes(values, block):
    codec = mesh.codec.by_name("dettmers8", block)
    decoded = codec.decode(codec.encode(values), values.size)
    numpy.testing.assert_array_equal(decoded, oracle(values, block))


@given(
    values=float_vectors(min_value=-128, max_value=128),
    exponent=st.integers(-120, 110),
    name=st.sampled_from(EIGHT_BIT),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_small_integers_times_powers_of_two_agree_in_both_passes(values, exponent, name):
    """Few distinct values in a block: the ties between the two books."""
    values = numpy.round(values) * numpy.float32(2.0**exponent)
    codec = mesh.codec.by_name(name, block=5)
    payload = codec.encode(values)
    assert codec.encode(codec.decode(payload, values.size)) == payload
