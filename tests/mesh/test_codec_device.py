"""The device forms of the codecs give the bytes and the values of the NumPy form, wherever they run."""

import numpy
import pytest

import mesh.codec
import tensor
from mesh.codec import CodecError, NonFiniteError
from mesh.codec.codebook import LINEAR, TREE
from tests.devices import opencl_cpus, with_gpu_kernels

DEVICES = [each.spec for each in tensor.devices()]


def normal(size, seed=0):
    return numpy.random.default_rng(seed).standard_normal(size).astype(numpy.float32)


def middles(scale):
    """float32 steps around every boundary of both books under `scale`, with both signs."""
    parts = []
    for book in (TREE, LINEAR):
        products = (book.magnitudes.astype(numpy.float64) * scale).astype(numpy.float32).astype(numpy.float64)
        bits = ((products[1:] + products[:-1]) / 2).astype(numpy.float32).view(numpy.int32)
        steps = (bits[:, None] + numpy.arange(-20, 21)[None, :]).ravel()
        parts.append(steps[steps >= 0].astype(numpy.int32).view(numpy.float32))
    values = numpy.concatenate(parts)
    return numpy.concatenate([[scale], values, -values]).astype(numpy.float32)


def any_bits(seed=0):
    """All kinds of finite float32: every exponent, denormals too."""
    bits = numpy.random.default_rng(seed).integers(0, 2**32, 20_000, dtype=numpy.uint32)
    values = bits.view(numpy.float32)
    return values[numpy.isfinite(values)]


VECTORS = {
    "empty": normal(0),
    "one": normal(1),
    "normal": normal(20_011),
    "heavy tails": normal(5000) ** 9,
    "zeros": numpy.zeros(600, numpy.float32),
    "any bits": any_bits(),
    "every magnitude": numpy.geomspace(1, 1e-8, 50_000).astype(numpy.float32),
    **{
        f"middles of {scale}": middles(scale)
        for scale in (1, 0.73, 3.4e38, 1e19, 1e-19, 3e-32, 1.2e-38, 4.7e-33)
    },
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", mesh.codec.names())
@pytest.mark.parametrize("block", [1, 3, 256, 100_000])
def test_every_device_gives_the_same_bytes_and_values(device, name, block):
    codec = mesh.codec.by_name(name, block)
    for label, values in VECTORS.items():
        if name == "fp16":
            values = numpy.clip(values, -65504, 65504)
        payload = codec.encode(values)
        x = tensor.asarray(values, device=device)
        assert codec.encode(x) == payload, label
        on_device = codec.encode_array(x)
        assert on_device.device is x.device
        assert on_device.dtype == tensor.uint8
        assert on_device.numpy().tobytes() == payload, label
        expected = codec.decode(payload, values.size).tobytes()
        for given in (on_device, payload):
            decoded = codec.decode_array(given, values.size, device=device)
            assert decoded.device is x.device
            assert decoded.numpy().tobytes() == expected, label


@pytest.mark.parametrize("device", [each.spec for each in opencl_cpus()])
@pytest.mark.parametrize("name", ["dettmers8", "adaptive8"])
@pytest.mark.parametrize("block", [3, 256])
def test_the_layout_for_gpus_gives_the_same_bytes_on_a_cpu(device, name, block, monkeypatch):
    monkeypatch.setattr(mesh.codec.device, "layout_of", lambda _: mesh.codec.device.GPU_LAYOUT)
    codec = mesh.codec.by_name(name, block)
    for label, values in VECTORS.items():
        payload = codec.encode(values)
        assert codec.encode(tensor.asarray(values, device=device)) == payload, label
        decoded = codec.decode_array(payload, values.size, device=device).numpy()
        assert decoded.tobytes() == codec.decode(payload, values.size).tobytes(), label


def pushed(seed):
    """Gradients of a very wide range, and at the end three values whose first two make a denormal sum."""
    wide = normal(20_000, seed) * numpy.exp(20 * normal(20_000, seed + 100))
    return numpy.append(wide, [(1.5e-38, -1.3e-38, 2e-38, 3e-38)[seed]] * 300).astype(numpy.float32)


@pytest.mark.parametrize("device", with_gpu_kernels(), ids=lambda each: each.spec)
@pytest.mark.parametrize("name", mesh.codec.names())
def test_a_merge_on_a_device_gives_the_bytes_of_a_merge_by_numpy(device, name):
    if not device.rounds_as_numpy:
        pytest.skip("merges are made on the host here")
    codec = mesh.codec.by_name(name)
    for count in (1, 2, 3, 4):
        payloads = [
            codec.encode(pushed(seed) if name != "fp16" else normal(20_300, seed)) for seed in range(count)
        ]
        total = numpy.zeros(20_300, numpy.float32)
        on_device = tensor.zeros(20_300, dtype=tensor.float32, device=device)
        for payload in payloads:
            total = total + codec.decode(payload, total.size)
            codec.decode_add(payload, on_device)
        assert on_device.numpy().tobytes() == total.tobytes(), count
        on_device /= 119.0
        assert codec.encode(on_device) == codec.encode(total / numpy.float32(119)), count


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", mesh.codec.names())
def test_a_payload_that_no_encoder_makes_leaves_a_sum_as_it_was(device, name):
    codec = mesh.codec.by_name(name)
    total = tensor.asarray(normal(600), device=device)
    payload = bytearray(codec.encode(normal(600)))
    payload[:4] = b"\xff" * 4
    with pytest.raises(CodecError):
        codec.decode_add(bytes(payload), total)
    numpy.testing.assert_array_equal(total.numpy(), normal(600))


def test_only_long_vectors_and_devices_that_round_as_numpy_are_worth_launching_for():
    exact = [each for each in tensor.devices() if each.backend == "opencl" and each.rounds_as_numpy]
    for each in tensor.devices():
        for name in mesh.codec.names():
            codec = mesh.codec.by_name(name)
            assert codec.is_sooner_on(each, 1 << 20) == (each in exact and name.endswith("8"))
            assert not codec.is_sooner_on(each, 1 << 15)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["dettmers8", "adaptive8"])
def test_views_are_encoded_as_what_they_show(device, name):
    values = normal(3000)
    codec = mesh.codec.by_name(name)
    x = tensor.asarray(values, device=device)
    for view, shown in ((x[7:1500], values[7:1500]), (x[::-2], values[::-2])):
        payload = codec.encode(numpy.ascontiguousarray(shown))
        assert codec.encode(view) == payload
        padded = numpy.frombuffer(b"abc" + payload, numpy.uint8)
        odd = tensor.asarray(padded, device=device)[3:]
        numpy.testing.assert_array_equal(
            codec.decode_array(odd, shown.size).numpy(), codec.decode(payload, shown.size)
        )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", mesh.codec.names())
@pytest.mark.parametrize("bad", [numpy.nan, numpy.inf, -numpy.inf])
def test_the_first_non_finite_value_is_named(device, name, bad):
    values = normal(3000)
    values[[1234, 1240, 2999]] = bad
    with pytest.raises(NonFiniteError, match="index 1234") as caught:
        mesh.codec.by_name(name).encode_array(tensor.asarray(values, device=device))
    assert caught.value.index == 1234


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["dettmers8", "adaptive8"])
def test_payloads_that_no_encoder_makes_are_refused(device, name):
    codec = mesh.codec.by_name(name)
    payload = bytearray(codec.encode(normal(600)))
    with pytest.raises(CodecError, match="600 values has"):
        codec.decode_array(bytes(payload[1:]), 600, device=device)
    payload[4:8] = numpy.array([numpy.nan], "<f4").tobytes()
    with pytest.raises(CodecError, match="block 1"):
        codec.decode_array(bytes(payload), 600, device=device)


@pytest.mark.parametrize("device", DEVICES)
def test_only_flat_float32_is_encoded(device):
    codec = mesh.codec.by_name("dettmers8")
    for wrong in (tensor.zeros((2, 3), device=device), tensor.zeros(3, dtype=tensor.int32, device=device)):
        with pytest.raises(CodecError, match="flat float32"):
            codec.encode_array(wrong)
