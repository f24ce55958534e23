"""The small language model: what it sees, that it learns, and what it writes; texts as tokens."""

from pathlib import Path

import numpy
import pytest

import nn
import tensor
from nn.errors import DataError, NetworkError
from tensor import Device

RIDDLE = "the cat sat on the mat. the dog sat on the log. the hog sat in the fog. " * 20


def tiny(vocabulary: int = 20, dropout: float = 0.0) -> nn.Sequential:
    return nn.models.chargpt(vocabulary, context=16, depth=2, heads=2, channels=32, dropout=dropout)


@pytest.fixture
def riddle(tmp_path: Path) -> nn.data.Text:
    (tmp_path / "riddle.txt").write_text(RIDDLE, encoding="utf-8")
    return nn.data.load_text(tmp_path / "riddle.txt")


def test_no_place_sees_those_after_it(device: Device, generator: numpy.random.Generator) -> None:
    network = tiny().initialize(device, seed=1)
    x = generator.integers(0, 20, (2, 16))
    changed = x.copy()
    changed[:, 9] = (x[:, 9] + 1) % 20
    before, after = (numpy.asarray(network(tensor.asarray(each, device=device))) for each in (x, changed))
    assert before.shape == (2, 16, 20)
    numpy.testing.assert_allclose(before[:, :9], after[:, :9], rtol=0, atol=1e-6)
    assert (numpy.abs(before[:, 9:] - after[:, 9:]).max(axis=(0, 2)) > 1e-3).all()
    shorter = numpy.asarray(network(tensor.asarray(x[:, :5], device=device)))
    numpy.testing.assert_allclose(shorter, before[:, :5], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_it_learns_a_riddle_and_writes_it(dropout: float, riddle: nn.data.Text) -> None:
    device = tensor.device()  # the best one alone: NumPy takes half a minute
    network = tiny(len(riddle.characters), dropout).initialize(device, seed=0)
    optimizer = nn.AdamW(lr=5e-3)
    optimizer.initialize(network.vector)
    x, y = (tensor.asarray(each, device=device) for each in riddle.training_batch(0, 0, 8, 16))
    network.randomness.set_step(0, range(8))
    gradient = nn.value_and_grad(network, lambda: nn.softmax_cross_entropy(network(x), y))

    def compute() -> tensor.Array:
        loss, _ = gradient()
        network.advance(optimizer)
        return loss

    step = tensor.record(compute, device=device)
    first = float(step.result)
    assert first == pytest.approx(numpy.log(len(riddle.characters)), abs=0.8)
    for number in range(1, 120):
        network.randomness.set_step(number, range(8))
        x[...], y[...] = riddle.training_batch(0, number, 8, 16)
        step.replay()
    network.evaluate()
    ours = [tensor.asarray(each, device=device) for each in riddle.validation_windows(16)]
    loss = float(nn.softmax_cross_entropy(network(ours[0]), ours[1]))
    assert loss < 0.6 < first
    assert float(nn.perplexity(network(ours[0]), ours[1])) == pytest.approx(numpy.exp(loss), rel=1e-4)
    written = nn.generate(network, riddle.encode("the cat s"), 40, temperature=0)
    assert riddle.decode(written).startswith("at on the ")


def test_what_is_drawn_is_a_function_of_the_seed(device: Device) -> None:
    network = tiny().initialize(device, seed=1)
    first = nn.generate(network, [1, 2], 30, seed=3)
    assert first.dtype == numpy.int32
    assert first.shape == (30,)
    assert ((first >= 0) & (first < 20)).all()
    assert network.training
    assert numpy.array_equal(first, nn.generate(network, [1, 2], 30, seed=3))
    assert not numpy.array_equal(first, nn.generate(network, [1, 2], 30, seed=4))
    assert nn.generate(network, [1], 0).size == 0


def test_draws_follow_the_probabilities() -> None:
    class Fixed(nn.Layer):
        """Logits that do not depend on what came before."""

        def __init__(self) -> None:
            self.bias = nn.Parameter((3,))

        def forward(self, x: tensor.Array) -> tensor.Array:
            return tensor.broadcast_to(self.bias, (*x.shape, 3))

    network = Fixed().initialize("numpy")
    wanted = numpy.array([0.2, 0.5, 0.3])
    network.bias[...] = 2 * numpy.log(wanted)
    drawn = nn.generate(network, [0], 2000, temperature=2.0)
    # three standard deviations of a part are at most 0.034
    numpy.testing.assert_allclose(numpy.bincount(drawn) / 2000, wanted, atol=0.034)
    assert set(nn.generate(network, [0], 5, temperature=0)) == {1}


def test_it_is_written_and_read_back_equal() -> None:
    network = tiny(dropout=0.1)
    again = nn.load_definition(nn.to_definition(network))
    assert nn.to_definition(again) == nn.to_definition(network)
    x = tensor.asarray([[3, 1, 4, 1, 5]], device="numpy")
    y, other = (numpy.asarray(each.initialize("numpy", seed=2).evaluate()(x)) for each in (network, again))
    assert numpy.array_equal(y, other)


def test_its_size_is_what_it_says() -> None:
    plans = [plan for *_, plan in nn.models.by_name("chargpt")._named_plans()]
    assert sum(int(numpy.prod(plan.shape)) for plan in plans) == 818_176
    with pytest.raises(NetworkError, match=r"`heads` divides; got \(65, 64, 4, 3, 128\)"):
        nn.models.chargpt(heads=3)


def test_what_cannot_be_continued_is_refused() -> None:
    network = tiny().initialize("numpy")
    with pytest.raises(NetworkError, match=r"at least one token, .* got 0 tokens"):
        nn.generate(network, [], 3)
    with pytest.raises(NetworkError, match="temperature ≥ 0; got 1 tokens, 3 and -1"):
        nn.generate(network, [0], 3, temperature=-1)


def test_a_text_is_tokens_and_back(riddle: nn.data.Text) -> None:
    assert riddle.characters == "".join(sorted(set(RIDDLE)))
    assert riddle.train.dtype == numpy.uint8
    assert riddle.decode(riddle.train) + riddle.decode(riddle.validation) == RIDDLE
    assert len(riddle.validation) == pytest.approx(len(RIDDLE) / 10, abs=1)
    assert riddle.decode(riddle.encode("the dog")) == "the dog"
    with pytest.raises(DataError, match="no character 'Q'; expected some of"):
        riddle.encode("Quit")


def test_batches_are_a_function_of_seed_and_step(riddle: nn.data.Text) -> None:
    x, y = riddle.training_batch(1, 2, 6, 10)
    assert x.shape == y.shape == (6, 10)
    assert x.dtype == numpy.int32
    assert numpy.array_equal(x[:, 1:], y[:, :-1])
    whole = riddle.decode(riddle.train)
    assert all(riddle.decode(row) + riddle.decode(last[-1:]) in whole for row, last in zip(x, y, strict=True))
    assert numpy.array_equal(x, riddle.training_batch(1, 2, 6, 10)[0])
    assert not numpy.array_equal(x, riddle.training_batch(1, 3, 6, 10)[0])
    assert not numpy.array_equal(x, riddle.training_batch(2, 2, 6, 10)[0])


def test_all_of_the_validation_part_is_asked_once(riddle: nn.data.Text) -> None:
    x, y = riddle.validation_windows(10)
    assert numpy.array_equal(y.ravel(), riddle.validation[1 : y.size + 1])
    assert numpy.array_equal(x.ravel(), riddle.validation[: x.size])
    assert len(riddle.validation) - x.size <= 10


def test_many_characters_take_wider_tokens(tmp_path: Path) -> None:
    text = "".join(chr(0x4E00 + number) for number in range(300)) + "🂡"
    (tmp_path / "wide.txt").write_text(text, encoding="utf-8")
    wide = nn.data.load_text(tmp_path / "wide.txt", validation=0.5)
    assert wide.train.dtype == numpy.int32
    assert wide.decode(wide.train) + wide.decode(wide.validation) == text


def test_texts_that_cannot_be_read(tmp_path: Path, riddle: nn.data.Text) -> None:
    with pytest.raises(DataError, match=r"absent.txt cannot be read: No such file .* tinyshakespeare"):
        nn.data.load_text(tmp_path / "absent.txt")
    (tmp_path / "odd.txt").write_bytes(b"a\xff")
    with pytest.raises(DataError, match=r"odd.txt is not UTF-8 text: .* at byte 1"):
        nn.data.load_text(tmp_path / "odd.txt")
    (tmp_path / "empty.txt").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        nn.data.load_text(tmp_path / "empty.txt")
    with pytest.raises(DataError, match="0 < validation < 1, got 1"):
        nn.data.load_text(tmp_path / "riddle.txt", validation=1)
    with pytest.raises(DataError, match="pieces of length 5000 do not fit"):
        riddle.training_batch(0, 0, 1, 5000)
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt").write_text("To be", encoding="utf-8")
    assert nn.data.load_text("tinyshakespeare", root=tmp_path).characters == " Tbeo"
