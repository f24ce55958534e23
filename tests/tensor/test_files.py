"""Files of arrays: NumPy reads ours, we read NumPy's, and no damaged or lying file does more than raise."""

import io
import os
import struct
import zipfile
from contextlib import suppress

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tensor
from tensor import npy
from tensor.errors import DTypeError, FileFormatError, FileWriteError

GPU_KERNELS_TOO = True  # the pretended GPU reads and writes through a staging buffer

SHAPES = [(), (0,), (1,), (7,), (3, 5), (2, 0, 3), (2, 3, 4)]
NAMES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128"


def dtypes():
    """Those of NumPy that arrays can have."""
    found = []
    for name in NAMES.split():
        try:
            found.append(tensor.empty(0, name).dtype)
        except DTypeError:
            continue
    return found


def values_of(shape, dtype):
    count = int(numpy.prod(shape))
    values = numpy.arange(count).reshape(shape) * 37 - 50
    if dtype.kind == "b":
        return values % 3 == 0
    return (values * (1 - 2j)).astype(dtype) if dtype.kind == "c" else values.astype(dtype)


def same(x, values):
    return (
        x.dtype == values.dtype.newbyteorder("=") and x.shape == values.shape and (x.numpy() == values).all()
    )


def file_with(path, content):
    path.write_bytes(content)
    return path


def npy_bytes(values, **options):
    file = io.BytesIO()
    numpy.lib.format.write_array(file, values, **options)
    return file.getvalue()


def with_header(text, data=b"", version=b"\x01\x00"):
    head = text.encode() + b"\n"
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(head))
    return b"\x93NUMPY" + version + length + head + data


# --- what is sound ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_numpy_reads_what_we_write_and_we_read_what_numpy_writes(device, tmp_path, shape):
    for dtype in dtypes():
        values = values_of(shape, dtype)
        ours, theirs = tmp_path / "ours.npy", tmp_path / "theirs.npy"
        tensor.save(ours, tensor.asarray(values, dtype))
        numpy.save(theirs, values)
        assert ours.read_bytes() == theirs.read_bytes()
        read = tensor.load(theirs)
        assert read.device is device
        assert same(read, values)


def test_byte_orders_axis_orders_and_versions(device, tmp_path):
    path = tmp_path / "x.npy"
    for dtype in dtypes():
        for order in "<>":
            for values in (values_of((3, 5), dtype), numpy.asfortranarray(values_of((2, 3, 4), dtype))):
                for version in ((1, 0), (2, 0), (3, 0)):
                    file_with(path, npy_bytes(values.astype(dtype.newbyteorder(order)), version=version))
                    assert same(tensor.load(path), values)


def test_views_are_written_as_they_look(device, tmp_path):
    values = values_of((4, 6), numpy.dtype(numpy.float32))
    x = tensor.asarray(values)
    for view, truth in [
        (x.T, values.T),
        (x[1:, ::2], values[1:, ::2]),
        (x[2], values[2]),
        (x[:0], values[:0]),
    ]:
        tensor.save(tmp_path / "x.npy", view)
        assert (numpy.load(tmp_path / "x.npy") == truth).all()


def test_more_than_one_piece(device, tmp_path, monkeypatch):
    monkeypatch.setattr(npy, "PIECE_BYTES", 1000)
    values = values_of((1003, 3), numpy.dtype(numpy.int16))
    tensor.save(tmp_path / "x.npy", tensor.asarray(values))
    assert (numpy.load(tmp_path / "x.npy") == values).all()
    assert same(tensor.load(tmp_path / "x.npy"), values)


def test_archives(device, tmp_path):
    path = tmp_path / "x.npz"
    values = {
        "a": values_of((3, 4), numpy.dtype(numpy.int32)),
        "b/c": numpy.float32(7),
        "ü": numpy.ones((0, 2), ">i2"),
    }
    tensor.savez(path, tensor.ones(3), **{name: tensor.asarray(each) for name, each in values.items()})
    with numpy.load(path) as theirs:
        assert set(theirs.files) == {"arr_0", *values}
        assert all((theirs[name] == each).all() for name, each in values.items())
    for write in (numpy.savez, numpy.savez_compressed):
        write(path, **values)
        ours = tensor.load(path)
        assert list(ours) == list(values)
        assert all(same(ours[name], numpy.asarray(each)) for name, each in values.items())
        assert all(each.device is device for each in ours.values())
    numpy.savez(path)
    assert tensor.load(path) == {}
    with pytest.raises(FileWriteError, match="two arrays of one name"):
        tensor.savez(path, 1, arr_0=2)


def test_bools_are_zero_or_one_whatever_the_file_says(device, tmp_path):
    content = with_header("{'descr': '|b1', 'fortran_order': False, 'shape': (4,)}", b"\x00\x01\x02\xff")
    x = tensor.load(file_with(tmp_path / "x.npy", content))
    assert x.numpy().view(numpy.uint8).tolist() == [0, 1, 1, 1]
    assert int(tensor.sum(tensor.astype(x, tensor.int32))) == 3


# --- what is not --------------------------------------------------------------------------------------------

HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}"
GOOD = with_header(HEADER, bytes(24))
BAD_FILES = {
    "empty": (b"", "ends inside its header"),
    "not npy": (b"hello, world", "not an .npy file"),
    "pickle": (b"\x80\x04K\x01.\x00\x00\x00\x00\x00", "not an .npy file"),
    "version": (b"\x93NUMPY\x09\x00" + GOOD[8:], "version 9.0"),
    "header cut": (GOOD[:40], "ends inside its header"),
    "data cut": (GOOD[:-1], r"cut short: shape \(2, 3\) of float32 takes 24 bytes of data, there are 23"),
    "trailing": (GOOD + b"x", "bytes after its end"),
    "terabytes": (with_header(HEADER.replace("(2, 3)", "(2000000000, 3000)")), "cut short"),
    "impossible": (with_header(HEADER.replace("2, 3", "9" * 30 + ", 3")), "which no array can have"),
    "impossible and empty": (
        with_header(HEADER.replace("2, 3", "9" * 30 + ", 0")),
        "which no array can have",
    ),
    "negative": (with_header(HEADER.replace("2, 3", "-2, -3"), bytes(24)), "which no array can have"),
    "axes": (with_header(HEADER.replace("2, 3", "1, " * 65), bytes(4)), "with 65 axes"),
    "long header": (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + GOOD[10:], "2,147,483,647 bytes"),
    "deep header": (with_header("(" * 5000), "cannot be read"),
    "no dict": (with_header("[1, 2]"), "cannot be read"),
    "code": (with_header("__import__('os').system('true')"), "cannot be read"),
    "other keys": (with_header("{'descr': '<f4'}"), "cannot be read"),
    "no utf8": (with_header(HEADER).replace(b"descr", b"\xff\xfe\xfd\xfc\xfb"), "cannot be read"),
    "object": (npy_bytes(numpy.array([None, {}])), "pickled Python objects"),
    "text": (npy_bytes(numpy.array(["a"])), "x.npy: .*dtype"),
    "date": (npy_bytes(numpy.array(["2020-01-01"], "M8[D]")), "x.npy: .*dtype"),
    "record": (npy_bytes(numpy.zeros(2, "i4,f4")), "x.npy: .*dtype"),
    "long double": (npy_bytes(numpy.zeros(2, numpy.longdouble)), "x.npy: .*dtype"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_an_error_that_names_it(tmp_path, case):
    content, message = BAD_FILES[case]
    path = file_with(tmp_path / "x.npy", content)
    with pytest.raises(FileFormatError, match=message) as caught:
        tensor.load(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 500
    archive = tmp_path / "x.npz"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.npy", content)
    with pytest.raises(FileFormatError, match=r"member 'x\.npy'"):
        tensor.load(archive)


def archive_bytes(*members, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def lying_archive(count):
    """Forty bytes that claim to be `count` numbers, in all three places that say so."""
    header = with_header(HEADER.replace("(2, 3)", f"({count},)"))
    content = bytearray(archive_bytes(("x.npy", header + bytes(40))))
    directory = content.index(b"PK\x01\x02")
    content[22:26] = content[directory + 24 : directory + 28] = struct.pack("<I", len(header) + 4 * count)
    return bytes(content)


def test_bad_archives(tmp_path):
    good = archive_bytes(("x.npy", npy_bytes(numpy.arange(1000))))
    swapped = bytearray(archive_bytes(("x.npy", npy_bytes(numpy.arange(1000))), method=zipfile.ZIP_STORED))
    swapped[900] ^= 1
    for content, message in [
        (good[:100], "damaged"),
        (good[:-30], "damaged"),
        (bytes(swapped), "damaged .npz file: Bad CRC-32"),
        (archive_bytes(("x.txt", b"")), "member 'x.txt' is not an .npy file"),
        (archive_bytes(("x.npy", GOOD), method=zipfile.ZIP_BZIP2), "compressed by a method"),
        (lying_archive(10**9), "lies about its size"),
        (lying_archive(10_000), "ended while it was read"),
    ]:
        path = file_with(tmp_path / "x.npz", content)
        with pytest.raises(FileFormatError, match=message) as caught:
            tensor.load(path)
        assert str(path) in str(caught.value)
    end = good.rindex(
        b"PK\x05\x06"
    )  # its field for where the directory begins, from which members are counted
    outside = good[: end + 16] + struct.pack("<I", len(good)) + good[end + 20 :]
    with pytest.raises(FileFormatError, match="damaged"):
        tensor.load(file_with(tmp_path / "x.npz", outside))
    with pytest.warns(UserWarning, match="Duplicate"):
        content = archive_bytes(("x.npy", GOOD), ("x.npy", GOOD))
    with pytest.raises(FileFormatError, match="two members named"):
        tensor.load(file_with(tmp_path / "x.npz", content))


@settings(max_examples=300, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["npy", "stored", "deflated"]))
def test_damage_anywhere_only_ever_raises_our_error(tmp_path_factory, data, kind):
    content = npy_bytes(numpy.arange(30, dtype=">i4"))
    if kind != "npy":
        method = zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED
        content = archive_bytes(("a.npy", content), ("b.npy", GOOD), method=method)
    damaged = bytearray(content)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with suppress(FileFormatError):
        tensor.load(path, device="numpy")


def test_a_missing_file_and_a_folder_are_the_systems_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        tensor.load(tmp_path / "nothing.npy")
    with pytest.raises(IsADirectoryError):
        tensor.load(tmp_path)
    with pytest.raises(FileWriteError, match="No such file"):
        tensor.save(tmp_path / "nowhere" / "x.npy", tensor.ones(1))


def test_a_full_disk_leaves_the_old_file(device, tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "x.npy"
    tensor.save(path, tensor.ones(3))
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        for write in (tensor.save, tensor.savez):
            with pytest.raises(FileWriteError, match=r"x\.npy was not written: File too large") as caught:
                write(path, tensor.ones(1_000_000))
            assert isinstance(caught.value, OSError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.npy"]


def test_a_link_goes_on_pointing_to_its_file(tmp_path):
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link.npy"
    link.symlink_to(tmp_path / "folder" / "x.npy")
    tensor.save(link, tensor.ones(3))
    assert link.is_symlink()
    assert numpy.load(tmp_path / "folder" / "x.npy").tolist() == [1, 1, 1]


def test_files_are_not_read_while_recording(device, tmp_path):
    tensor.save(tmp_path / "x.npy", tensor.ones(3))
    with pytest.raises(tensor.errors.RecordError, match="load it before"):
        tensor.record(lambda: tensor.load(tmp_path / "x.npy"))
