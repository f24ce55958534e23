"""Data sets of one's own, and CIFAR: archives of arrays, folders of images, and what is wrong with them."""

import io
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy
import pytest
from numpy.typing import NDArray

import nn
from nn.data import cifar, finding
from nn.data.cifar import CIFAR10, CIFAR100, Release
from nn.errors import DataError

Bytes = NDArray[numpy.uint8]


def noise(*shape: int) -> Bytes:
    return numpy.random.default_rng(sum(shape)).integers(0, 256, shape, numpy.uint8)


class TestArchives:
    def test_with_a_test_part(self, tmp_path: Path) -> None:
        train, test = noise(6, 5, 4, 3), noise(3, 5, 4, 3)
        labels = numpy.array([0, 1, 2, 3, 0, 1])
        numpy.savez(
            tmp_path / "a.npz",
            train_images=train,
            train_labels=labels,
            test_images=test,
            test_labels=labels[:3].astype(numpy.uint8),
            scale=0.5,
        )
        data = nn.data.load(str(tmp_path / "a.npz"))
        assert numpy.array_equal(data.train_images, train)
        assert numpy.array_equal(data.test_images, test)
        assert data.train_labels.dtype == data.test_labels.dtype == numpy.int32
        assert data.train_labels.tolist() == labels.tolist()
        assert (data.classes, data.scale, data.input_shape) == (4, 0.5, (5, 4, 3))

    def test_in_the_form_of_keras(self, tmp_path: Path) -> None:
        grey, labels = noise(4, 5, 6), numpy.array([[1], [0], [2], [1]])
        numpy.savez_compressed(tmp_path / "a.npz", x_train=grey, y_train=labels, x_test=grey, y_test=labels)
        data = nn.data.load(tmp_path / "a.npz")
        assert data.train_images.shape == (4, 5, 6, 1)
        assert data.test_labels.tolist() == [1, 0, 2, 1]
        assert data.scale == 1 / 255

    def test_without_a_test_part_every_fifth_of_a_class_is_one(self, tmp_path: Path) -> None:
        images, labels = noise(30, 2, 2, 1), numpy.array([0] * 20 + [1] * 7 + [2, 2, 3])
        numpy.savez(tmp_path / "a.npz", images=images.astype(numpy.int64), labels=labels)
        data = nn.data.load(tmp_path / "a.npz")
        is_test = numpy.isin(numpy.arange(30), [4, 9, 14, 19, 24, 28])
        assert numpy.array_equal(data.test_images, images[is_test])
        assert numpy.array_equal(data.train_images, images[~is_test])
        assert data.test_labels.tolist() == [0, 0, 0, 0, 1, 2]
        assert data.classes == 4

    @pytest.mark.parametrize(
        ("arrays", "sentence"),
        [
            (
                {"pictures": noise(2, 2)},
                "has the arrays pictures; expected train_images, .* images and labels",
            ),
            (
                {"images": noise(2, 2, 2) / 255, "labels": [0, 1]},
                r"images in .* holds float64 from 0 to .*; expected whole numbers from 0 to 255, which",
            ),
            (
                {"images": numpy.full((2, 2, 2), 1000), "labels": [0, 1]},
                r"holds int64 from 0 to 1000; expected whole",
            ),
            ({"images": noise(4), "labels": [0, 1]}, r"has the shape \[4\]; expected \[N, height"),
            ({"images": noise(2, 2, 2), "labels": [0.5, 1]}, r"labels in .* is float64 \[2\]; expected"),
            ({"images": noise(2, 2, 2), "labels": [0, 1, 1]}, "has 2 images but 3 labels"),
            ({"images": noise(2, 2, 2), "labels": [0, 1]}, "The test part of .* has no images"),
            (
                {"images": noise(2, 2, 2), "labels": [-1, -1]},
                r"labels of .* run from -1 to -1; expected 0 and more\. Put sound labels",
            ),
            ({"images": noise(2, 2, 2), "labels": [0, 2**32]}, "labels in .* runs from 0 to 4294967296"),
            (
                {
                    **{"x_train": noise(2, 3, 3), "y_train": [0, 1]},
                    **{"x_test": noise(2, 2, 3), "y_test": [0, 1]},
                },
                r"test images of .* are \[2, 3, 1\], those to train on \[3, 3, 1\]",
            ),
        ],
    )
    def test_what_they_may_not_hold(self, tmp_path: Path, arrays: dict[str, Any], sentence: str) -> None:
        numpy.savez(tmp_path / "a.npz", **{name: numpy.asarray(each) for name, each in arrays.items()})
        with pytest.raises(DataError, match=sentence) as caught:
            nn.data.load(tmp_path / "a.npz")
        assert caught.value.exit_code == 5

    def test_damage_and_pickles_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npz"
        with pytest.raises(DataError, match=r"a\.npz cannot be read: No such file"):
            nn.data.load(path)
        path.write_bytes(b"not an archive at all")
        with pytest.raises(DataError, match=r"a\.npz"):
            nn.data.load(path)
        numpy.savez(path, images=numpy.array([{"a": 1}], object), labels=numpy.zeros(1, int))
        with pytest.raises(DataError, match=r"a\.npz"):
            nn.data.load(path)
        numpy.save(tmp_path / "b.npy", noise(3))
        (tmp_path / "b.npy").rename(path)
        with pytest.raises(DataError, match="one array without a name"):
            nn.data.load(path)


@pytest.fixture
def image_library() -> Any:
    """PIL.Image; without Pillow (the extra `images`) such tests are skipped."""
    return pytest.importorskip("PIL.Image")


def written(image_library: Any, path: Path, pixels: Any, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image_library.fromarray(pixels).save(path, **options)
    return path


class TestFolders:
    def test_classes_are_folders_and_every_fifth_file_is_to_test(
        self, tmp_path: Path, image_library: Any
    ) -> None:
        pixels = {}
        for name, count in (("dog", 6), ("cat", 11), ("emu", 2)):
            for number in range(count):
                pixels[name, number] = noise(7, 6, 3) // (number + 1)
                written(image_library, tmp_path / name / f"{number:02}.png", pixels[name, number])
        (tmp_path / "cat" / "notes.txt").write_text("no image")
        (tmp_path / "cat" / ".hidden.png").write_bytes(b"no image")
        (tmp_path / "readme.md").write_text("no class")
        data = nn.data.load(str(tmp_path))
        assert data.class_names == ("cat", "dog", "emu")
        assert (data.classes, data.scale, data.input_shape) == (3, 1 / 255, (7, 6, 3))
        assert data.test_labels.tolist() == [0, 0, 1, 2]
        for image, key in zip(
            data.test_images, [("cat", 4), ("cat", 9), ("dog", 4), ("emu", 1)], strict=True
        ):
            assert numpy.array_equal(image, pixels[key])
        assert len(data.train_images) == 15
        assert numpy.array_equal(data.train_images[-1], pixels["emu", 0])
        assert nn.data.load(tmp_path) is data  # the same files: read once

    def test_parts_that_are_there_stay_apart(self, tmp_path: Path, image_library: Any) -> None:
        for part, name, value in (("Train", "a", 1), ("Train", "b", 2), ("val", "b", 3)):
            written(image_library, tmp_path / part / name / "x.png", numpy.full((4, 4), value, numpy.uint8))
        data = nn.data.load(tmp_path)
        assert data.train_images[:, 0, 0, 0].tolist() == [1, 2]
        assert data.train_labels.tolist() == [0, 1]
        assert data.test_images[:, 0, 0, 0].tolist() == [3]
        assert data.test_labels.tolist() == [1]
        written(image_library, tmp_path / "val" / "c" / "x.png", numpy.full((4, 4), 4, numpy.uint8))
        with pytest.raises(DataError, match="has images to test of c, but none to train on"):
            nn.data.load(tmp_path)

    def test_images_are_scaled_until_they_cover_and_cut_in_the_middle(
        self, tmp_path: Path, image_library: Any
    ) -> None:
        wide = numpy.zeros((20, 60, 3), numpy.uint8)
        wide[:, 20:40] = 200  # all that is left of a square in the middle
        high = numpy.zeros((90, 30, 3), numpy.uint8)
        high[30:60] = 100
        for number, pixels in enumerate((wide, high, wide, high, wide)):
            written(image_library, tmp_path / "a" / f"{number}.png", pixels)
        data = nn.data.load_folder(tmp_path, size=10)
        assert data.input_shape == (10, 10, 3)
        assert data.train_images.reshape(4, -1).mean(axis=1).tolist() == pytest.approx([200, 100] * 2, abs=8)
        assert (data.train_images[0, :, 2:8] == 200).all()
        assert nn.data.load_folder(tmp_path, size=(5, 12)).input_shape == (5, 12, 3)
        assert nn.data.load(tmp_path).input_shape == (224, 224, 3)  # they have no common size

    def test_every_mode_becomes_colours_or_grey(self, tmp_path: Path, image_library: Any) -> None:
        grey = numpy.tile(numpy.arange(0, 256, 32, dtype=numpy.uint8), (8, 1))
        image = image_library.fromarray(grey)
        images = {
            "1": image_library.fromarray(grey > 100),
            "L": image,
            "LA": image.convert("LA"),
            "I;16": image_library.fromarray(grey.astype(numpy.uint16) * 257),
            "P": image.convert("RGB").quantize(16),
            "RGB": image.convert("RGB"),
            "RGBA": image.convert("RGBA"),
            "CMYK": image.convert("CMYK"),
        }
        for name, each in images.items():
            (tmp_path / "a").mkdir(exist_ok=True)
            file = tmp_path / "a" / f"{name.replace(';', '')}.{'tif' if name == 'CMYK' else 'png'}"
            each.save(file)
            with image_library.open(file) as again:
                assert again.mode == name
        for channels, shape in ((1, (8, 8, 1)), (3, (8, 8, 3)), (None, (8, 8, 3))):
            data = nn.data.load_folder(tmp_path, channels=channels)
            assert data.input_shape == shape
            got = numpy.concatenate([data.train_images, data.test_images]).astype(int)
            assert len(got) == 8
            for each in got:
                bilevel = set(numpy.unique(each)) == {0, 255}
                wanted = numpy.where(grey > 100, 255, 0) if bilevel else grey
                assert numpy.abs(each - wanted[..., None]).max() <= 8  # of the palette
        for name in ("P", "RGB", "RGBA"):
            (tmp_path / "a" / f"{name}.png").unlink()
        (tmp_path / "a" / "CMYK.tif").unlink()
        assert nn.data.load(tmp_path).input_shape == (8, 8, 1)  # all that are left are grey

    def test_images_stand_as_the_camera_was_held(self, tmp_path: Path, image_library: Any) -> None:
        pixels = noise(6, 10, 3)
        turned = image_library.Exif()
        turned[0x0112] = 6  # to be seen, turn it right by a quarter
        for number in range(2):
            written(image_library, tmp_path / "a" / f"{number}.png", pixels, exif=turned)
        data = nn.data.load(tmp_path)
        assert data.input_shape == (10, 6, 3)
        assert numpy.array_equal(data.train_images[0], numpy.rot90(pixels, -1))

    def test_broken_images_are_named(self, tmp_path: Path, image_library: Any) -> None:
        for number in range(3):
            written(image_library, tmp_path / "a" / f"{number}.jpg", noise(40, 40, 3))
        whole = (tmp_path / "a" / "1.jpg").read_bytes()
        (tmp_path / "a" / "1.jpg").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(
            DataError, match=r"a/1\.jpg \(OSError: .*truncated.*cannot be read as images"
        ) as one:
            nn.data.load(tmp_path)
        assert "0.jpg" not in str(one.value)
        for number in range(7):
            (tmp_path / "a" / f"x{number}.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
        with pytest.raises(DataError, match=r"a/x0\.png \(.*a/x4\.png \(.* and 2 more cannot be read"):
            nn.data.load(tmp_path)

    def test_what_cannot_be(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(DataError, match=r"has no images in folders .* such as .*cat/1\.jpg"):
            nn.data.load(tmp_path)
        with pytest.raises(DataError, match="no data set 'photos/'"):
            nn.data.load("photos/")
        with pytest.raises(DataError, match="expected 1 or 3 channels, got 4"):
            nn.data.load_folder(tmp_path, channels=4)
        with pytest.raises(DataError, match="size of at least 1, got 0"):
            nn.data.load_folder(tmp_path, size=0)
        with pytest.raises(DataError, match="There is no folder"):
            nn.data.load_folder(tmp_path / "absent")
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "x.png").write_bytes(b"")
        monkeypatch.setitem(sys.modules, "PIL", None)
        monkeypatch.setitem(sys.modules, "PIL.Image", None)
        with pytest.raises(DataError, match=r"read by Pillow, which cannot be imported.*pip install pillow"):
            nn.data.load(tmp_path)


class TestBlobs:
    """The form of util/convert_images_to_blob_raw.py: each image as (channels, width, height)."""

    def written(self, folder: Path, **changes: Any) -> tuple[Path, list[Bytes]]:
        folder.mkdir()
        parts, layers = [], []
        for phase, count in (("train", 5), ("test", 2)):
            images = noise(count, 4, 6, 3)
            parts.append(images)
            (folder / f"{phase}.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
            (folder / f"{phase}.json").write_text(json.dumps([number % 3 for number in range(count)]))
            params = {"file_prefix": phase, "data_shape": [4, 6, 3], "data_klass": "uint8", **changes}
            layers.append({"name": phase, "type": "blob_data", "params": params, "phase": [phase]})
        (folder / "net.json").write_text(json.dumps([*layers, {"name": "relu", "type": "relu"}]))
        return folder / "net.json", parts

    def test_a_definition_names_its_data(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path, (train, test) = self.written(tmp_path / "a")
        assert nn.data.names_blobs(path)
        data = nn.data.load(str(path))
        assert numpy.array_equal(data.train_images, train)
        assert numpy.array_equal(data.test_images, test)
        assert data.train_labels.tolist() == [0, 1, 2, 0, 1]
        assert (data.classes, data.scale) == (3, 1 / 256)
        path, _ = self.written(tmp_path / "b", file_prefix="a/train")
        monkeypatch.chdir(tmp_path)
        assert numpy.array_equal(nn.data.load(path).test_images, train)

    def test_what_is_wrong_is_named(self, tmp_path: Path) -> None:
        path, _ = self.written(tmp_path / "a", data_klass="single")
        with pytest.raises(DataError, match=r"to train with .* data_klass 'single'; expected .* uint8"):
            nn.data.load(path)
        path, _ = self.written(tmp_path / "n", data_shape=[-4, -6, 3])
        with pytest.raises(DataError, match=r"data_shape \[-4, -6, 3\] .* each at least 1"):
            nn.data.load(path)
        path, _ = self.written(tmp_path / "b", data_shape=[4, 7, 3])
        with pytest.raises(DataError, match=r"train\.bin has 360 bytes; 5 images of \[4, 7, 3\] have 420"):
            nn.data.load(path)
        path, _ = self.written(tmp_path / "c", file_prefix="gone")
        with pytest.raises(DataError, match=r"names gone\.json, which is not at .* --data"):
            nn.data.load(path)
        path, _ = self.written(tmp_path / "d")
        (path.parent / "test.json").write_text('["cat", "dog"]')
        with pytest.raises(DataError, match=r"test\.json is not a list of labels"):
            nn.data.load(path)
        (tmp_path / "none.json").write_text("[]")
        assert not nn.data.names_blobs(tmp_path / "none.json")
        assert not nn.data.names_blobs(tmp_path / "absent.json")
        with pytest.raises(DataError, match="no blob_data layer to train"):
            nn.data.load(tmp_path / "none.json")


def records(release: Release, count: int, seed: int) -> tuple[bytes, Bytes, Bytes]:
    """A file of a release with `count` records; its images [count, 32, 32, 3] and labels."""
    rng = numpy.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 32, 32, 3), numpy.uint8)
    labels = rng.integers(0, release.classes, count).astype(numpy.uint8)
    coarse = [bytes([99])] * (release.label_bytes - 1)
    content = b"".join(
        b"".join(coarse) + bytes([label]) + image.transpose(2, 0, 1).tobytes()
        for image, label in zip(images, labels, strict=True)
    )
    return content, images, labels


def unpacked(release: Release, folder: Path) -> tuple[Bytes, Bytes, Bytes, Bytes]:
    """The files of a release under `folder`; images and labels of both parts."""
    folder.mkdir(parents=True)
    names = "\n".join(f"class{number}" for number in range(release.classes))
    (folder / release.class_names).write_text(names + "\n\n")
    parts: list[Bytes] = []
    for seed, files in enumerate((release.train, release.test)):
        made = [records(release, 3, 10 * seed + number) for number in range(len(files))]
        for name, (content, _, _) in zip(files, made, strict=True):
            (folder / name).write_bytes(content)
        parts += [
            numpy.concatenate([each[1] for each in made]),
            numpy.concatenate([each[2] for each in made]),
        ]
    return parts[0], parts[1], parts[2], parts[3]


@pytest.mark.parametrize("release", [CIFAR10, CIFAR100], ids=["cifar10", "cifar100"])
class TestCifar:
    @pytest.fixture(autouse=True)
    def _no_network(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(finding.platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
        monkeypatch.setattr(cifar, "MIRRORS", ())
        monkeypatch.delenv("MESH_DATA", raising=False)

    @pytest.mark.parametrize("packed", [False, True])
    def test_files_and_archives(self, release: Release, packed: bool, tmp_path: Path) -> None:
        folder = tmp_path / release.name / release.folder
        wanted = unpacked(release, folder)
        if packed:
            pack(release, folder)
        data = nn.data.load(release.name, tmp_path)
        got = (data.train_images, data.train_labels, data.test_images, data.test_labels)
        assert all(numpy.array_equal(*pair) for pair in zip(got, wanted, strict=True))
        assert (data.classes, data.input_shape) == (release.classes, (32, 32, 3))
        assert data.class_names[7] == "class7"

    def test_damage_is_named(self, release: Release, tmp_path: Path) -> None:
        folder = tmp_path / release.name / release.folder
        unpacked(release, folder)
        whole = (folder / release.test[0]).read_bytes()
        (folder / release.test[0]).write_bytes(whole[:-1])
        with pytest.raises(DataError, match=rf"{release.test[0]} is not sound: its \d+ bytes are no whole"):
            nn.data.load(release.name, tmp_path)
        (folder / release.test[0]).unlink()
        with pytest.raises(DataError, match=rf"{release.test[0]} is not sound: No such file"):
            nn.data.load(release.name, tmp_path)
        archive = pack(release, folder)
        with pytest.raises(DataError, match=rf"it lacks {release.folder}/{release.test[0]}"):
            nn.data.load(release.name, tmp_path)
        archive.write_bytes(archive.read_bytes()[:200])
        with pytest.raises(DataError, match=r"tar\.gz is not sound: its compression is corrupt"):
            nn.data.load(release.name, tmp_path)

    def test_pickles_are_refused(self, release: Release, tmp_path: Path) -> None:
        (tmp_path / release.name).mkdir()
        (tmp_path / release.name / release.pickled[0]).write_bytes(b"whatever")
        with pytest.raises(DataError, match=rf"pickled, which is code .*{release.archive}") as caught:
            nn.data.load(release.name, tmp_path)
        assert caught.value.exit_code == 5

    def test_without_files_it_says_where_it_looked(self, release: Release, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=rf"{release.archive} is not in .*{release.name}.* MESH_DATA"):
            nn.data.load(release.name, tmp_path)


def pack(release: Release, folder: Path) -> Path:
    """The files as an archive beside the folder, which goes."""
    archive = folder.parent / release.archive
    with tarfile.open(archive, "w:gz") as members:
        members.add(folder, release.folder)
        extra = tarfile.TarInfo(f"{release.folder}/readme.html")
        members.addfile(extra, io.BytesIO())
    for file in folder.iterdir():
        file.unlink()
    os.rmdir(folder)
    return archive
