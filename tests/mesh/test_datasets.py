"""Chunks of data that travel: checked, waited for, kept."""

import hashlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mesh import datasets
from mesh.datasets import Manifest, Store
from mesh.errors import JobFailedError, ProtocolError
from nn.data import Dataset, Text
from nn.errors import DataError


@pytest.fixture
def dataset() -> Dataset:
    random = np.random.default_rng(1)

    def images(count: int) -> np.ndarray:
        return random.integers(0, 256, (count, 8, 8, 1), np.uint8)

    def labels(count: int) -> np.ndarray:
        return random.integers(0, 10, count).astype(np.int32)

    return Dataset("random", images(130), labels(130), images(30), labels(30), 10, 1 / 255, "none", "none")


@pytest.fixture
def full(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(datasets, "CHUNK_BYTES", 40 * 64)  # four chunks of training images
    return Store.of(dataset)


def carry(source: Store, target: Store, digests: list[str] | None = None) -> None:
    for digest in target.wanted if digests is None else digests:
        assert target.add(digest, bytes(source.get(digest)))


def test_all_of_it_arrives(full, dataset):
    assert len(full.manifest.parts[0].digests) == 4
    manifest = Manifest.from_dict(full.manifest.to_dict())
    assert manifest == full.manifest
    store = Store(manifest, None)
    assert not store.complete
    carry(full, store)
    assert store.complete
    ids = np.array([129, 0, 40, 39])
    images, labels = store.gather(ids)
    np.testing.assert_array_equal(images, dataset.train_images[ids])
    np.testing.assert_array_equal(labels, dataset.train_labels[ids])
    np.testing.assert_array_equal(store.test()[0], dataset.test_images)
    np.testing.assert_array_equal(store.test()[1], dataset.test_labels)


def test_chunks_are_named_by_their_content(full):
    for part in full.manifest.parts:
        for digest in part.digests:
            assert hashlib.sha256(full.get(digest)).hexdigest() == digest
    assert full.get("0" * 64) == b""


def test_wrong_bytes_are_dropped(full):
    store = Store(full.manifest, None)
    wanted = store.wanted[0]
    good = bytes(full.get(wanted))
    for bad in (b"", good[:-1], good + b"\0", bytes([good[0] ^ 1]) + good[1:]):
        assert not store.add(wanted, bad)
    assert not store.add("0" * 64, good)
    assert store.get(wanted) == b""
    assert wanted in store.wanted


def test_what_the_next_samples_need_is_wanted_first(full, monkeypatch):
    monkeypatch.setattr(datasets, "WAIT_S", 0.05)
    store = Store(full.manifest, None)
    with pytest.raises(JobFailedError, match="1 parts of random came from no peer"):
        store.gather(np.array([125]))
    assert store.wanted[0] == full.manifest.parts[0].digests[3]
    assert sorted(store.wanted) == sorted({d for part in full.manifest.parts for d in part.digests})


def test_gather_waits_for_chunks_on_their_way(full, dataset, monkeypatch):
    monkeypatch.setattr(datasets, "WAIT_S", 10.0)
    store = Store(full.manifest, None)
    got: list[np.ndarray] = []
    waiting = threading.Thread(target=lambda: got.append(store.gather(np.array([50, 3]))[0]))
    waiting.start()
    deadline = time.monotonic() + 5
    while not store._urgent and time.monotonic() < deadline:
        time.sleep(0.01)
    assert waiting.is_alive()
    carry(full, store)
    waiting.join(5.0)
    np.testing.assert_array_equal(got[0], dataset.train_images[[50, 3]])


def lies(facts: dict, **changes) -> dict:
    first, *rest = facts["parts"]
    return {**facts, "parts": [{**first, **changes}, *rest]}


def test_manifests_that_lie_are_refused(full):
    facts = full.manifest.to_dict()
    digests = facts["parts"][0]["digests"]
    for wrong in (
        {},
        {**facts, "more": 1},
        {**facts, "parts": facts["parts"][:3]},
        {**facts, "parts": None},
        lies(facts, name="other"),
        lies(facts, dtype="nonsense"),
        lies(facts, dtype="O"),
        lies(facts, shape=[131, 8, 8, -1]),
        lies(facts, shape=[]),
        lies(facts, shape=["many"]),
        lies(facts, rows=0),
        lies(facts, rows=-40),
        lies(facts, rows=10**9),
        lies(facts, digests=digests[:3]),
        lies(facts, digests=[*digests, digests[0]]),
        lies(facts, digests=3),
        lies(facts, shape=[10**9, 10**9, 10**9, 10**9], rows=10**9),
    ):
        with pytest.raises(ProtocolError):
            print(Manifest.from_dict(wrong))


def test_what_arrived_is_kept_for_the_next_time(full, tmp_path):
    cache = tmp_path / "cache"
    store = Store(full.manifest, cache)
    carry(full, store)
    digests = {digest for part in full.manifest.parts for digest in part.digests}
    assert {path.name for path in cache.iterdir()} == digests  # and no temporary file
    for path in cache.iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def test_the_cache_is_read_and_its_damage_is_noticed(full, tmp_path, monkeypatch):
    monkeypatch.setenv("MESH_CACHE", str(tmp_path))
    first = Store.fetched(full.manifest)
    assert not first.complete
    carry(full, first)
    assert Store.fetched(full.manifest).complete
    broken = full.manifest.parts[0].digests[1]
    next(tmp_path.rglob(broken)).write_bytes(b"damaged")
    again = Store.fetched(full.manifest)
    assert again.wanted == [broken]


def test_a_cache_that_cannot_be_written_stops_nothing(full, tmp_path):
    occupied = tmp_path / "file"
    occupied.write_text("")
    store = Store(full.manifest, Path(occupied) / "cache")
    carry(full, store)
    assert store.complete


def test_a_chunk_of_another_size_than_its_place_is_dropped(full):
    short = b"short"
    digest = hashlib.sha256(short).hexdigest()
    digests = full.manifest.parts[0].digests
    store = Store(Manifest.from_dict(lies(full.manifest.to_dict(), digests=[digest, *digests[1:]])), None)
    assert not store.add(digest, short)


def test_equal_chunks_fill_every_place_they_belong_in(monkeypatch):
    monkeypatch.setattr(datasets, "CHUNK_BYTES", 10 * 64)
    same = np.zeros((40, 8, 8, 1), np.uint8)
    labels = np.zeros(40, np.int32)
    source = Store.of(Dataset("blank", same, labels, same[:10], labels[:10], 10, 1.0, "none", "none"))
    store = Store(source.manifest, None)
    for array in store.arrays.values():
        array[...] = 7
    carry(source, store)
    assert store.complete
    for name, array in source.arrays.items():
        np.testing.assert_array_equal(store.arrays[name], array)


@pytest.fixture
def text() -> Text:
    tokens = np.random.default_rng(2).integers(0, 7, 130).astype(np.uint8)
    return Text("letters", "abcdefg", tokens[:100], tokens[100:])


def test_of_a_text_each_place_is_a_sample_and_the_text_travels_once(text, monkeypatch):
    monkeypatch.setattr(datasets, "CHUNK_BYTES", 16)
    full = Store.of(text, length=20)
    manifest = Manifest.from_dict(full.manifest.to_dict())
    assert (manifest.samples, manifest.sample_shape, manifest.label_shape) == (80, (20,), (20,))
    store = Store(manifest, None)
    assert sum(part.shape[0] for part in manifest.parts) == 130
    carry(full, store)
    ids = np.array([79, 0, 33])
    inputs, labels = store.gather(ids)
    assert inputs.dtype == labels.dtype == np.int32
    for place, x, y in zip(ids, inputs, labels, strict=True):
        np.testing.assert_array_equal(x, text.train[place : place + 20])
        np.testing.assert_array_equal(y, text.train[place + 1 : place + 21])
    wanted = text.validation_windows(20)
    for got, piece in zip(store.test(), wanted, strict=True):
        np.testing.assert_array_equal(got, piece)


def test_a_sample_of_a_text_waits_for_every_chunk_it_lies_in(text, monkeypatch):
    monkeypatch.setattr(datasets, "CHUNK_BYTES", 16)
    monkeypatch.setattr(datasets, "WAIT_S", 0.05)
    full = Store.of(text, length=25)
    store = Store(full.manifest, None)
    digests = full.manifest.parts[0].digests
    for missing in (1, 2):  # places 20 to 45 are in chunks 1 and 2
        carry(full, store, [digest for number, digest in enumerate(digests) if number != missing])
        with pytest.raises(JobFailedError, match="1 parts of letters"):
            store.gather(np.array([20]))
        store = Store(full.manifest, None)
    carry(full, store, list(digests[1:3]))
    np.testing.assert_array_equal(store.gather(np.array([20]))[1][0], text.train[21:46])


def test_texts_that_are_too_short_and_manifests_of_texts_that_lie(text):
    with pytest.raises(DataError, match="letters has a part of 30 characters"):
        Store.of(text, length=30)
    facts = Store.of(text, length=29).manifest.to_dict()
    Manifest.from_dict(facts)
    for wrong in ({"length": 30}, {"length": -1}, {"length": 0}, {"parts": facts["parts"][:1]}):
        with pytest.raises(ProtocolError):
            Manifest.from_dict({**facts, **wrong})
