"""The wire format: bytes worked by hand, files of the original Caffe, and hostile ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from dltrain.caffe import wire
from dltrain.caffe.encode import varint
from dltrain.caffe.message import Message
from dltrain.caffe.schema import ENUMS, MESSAGES
from dltrain.caffe.wire import parse_wire, read_wire, write_wire
from dltrain.errors import DataError
from tests.caffe.messages import messages, plain, same

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
KINDS = sorted(kind for kind in MESSAGES if MESSAGES[kind])


def parsed(hexadecimal: str, kind: str = "NetParameter") -> Message:
    return parse_wire(bytes.fromhex(hexadecimal), kind, "x.caffemodel")


def test_bytes_by_hand() -> None:
    """name 1 counted "ab"; layer 100 (tag 802 = a2 06): name, loss_weight 1.0 f, phase TEST, top "t" twice."""
    made = parsed("0a 02 6162  a206 10  0a 01 63  2d 0000803f  50 01  22 01 74  22 01 74")
    assert (made.kind, made["name"], made["layer"].kind) == ("NetParameter", "ab", "LayerParameter")
    assert plain(made["layer"]) == {"name": ["c"], "loss_weight": [1.0], "phase": ["TEST"], "top": ["t", "t"]}


def test_a_blob_packed_or_not_is_one_array() -> None:
    """shape 7 {dim 1 packed 1 2}, data 5 packed 1.0 -2.0; then each number behind its tag 2d; then both ways together."""
    packed = parsed("3a 04 0a 02 01 02  2a 08 0000803f 000000c0", "BlobProto")
    single = parsed("2d 0000803f 2d 000000c0 3a 04 08 01 08 02", "BlobProto")
    mixed = parsed("2a 04 0000803f 3a 02 08 01 2d 000000c0 3a 03 0a 01 02", "BlobProto")
    for blob in (packed, single, mixed):
        assert len(blob.all("data")) == 1 and blob["data"].dtype == np.float32 and blob["data"].tolist() == [1, -2]
        assert blob["shape"].all("dim") == [1, 2]


def test_many_numbers_behind_their_tags() -> None:
    numbers = np.arange(1000, dtype="<f4")
    content = b"".join(b"\x35" + number.tobytes() for number in numbers)
    assert parse_wire(content + b"\x28\x07", "Datum", "d").all("float_data") == list(range(1000))
    cut = parse_wire(content[:2500] + b"\x28\x07" + content[2500:], "Datum", "d")  # a label between them
    assert (cut.all("float_data"), cut["label"]) == (list(range(1000)), 7)


def test_whole_numbers_of_every_kind() -> None:
    minus = "ff" * 9 + "01"
    assert parsed(f"10 {minus}", "NetState")["level"] == -1
    assert parsed("08 80 80 80 80 08", "BlobProto")["num"] == -(2**31)  # the low 32 bits, as protobuf has it
    assert parsed(f"a001 {minus}", "SolverParameter")["random_seed"] == -1
    assert parsed(f"18 {minus}", "TransformationParameter")["crop_size"] == 2**32 - 1
    assert parsed("10 02", "TransformationParameter")["mirror"] is True
    assert parsed("08 09", "PoolingParameter")["pool"] == "9"  # a method of some fork
    assert parsed("22 03 01 80 01", "NetParameter").all("input_dim") == [1, 128]  # packed though the schema does not pack it


def test_a_float_is_the_shortest_decimal_that_means_it() -> None:
    made = parsed("1d" + np.array(5e-4, "<f4").tobytes().hex() + "25" + np.array(np.nan, "<f4").tobytes().hex(), "ParamSpec")
    assert made["lr_mult"] == 5e-4 and np.isnan(made["decay_mult"])


def test_a_message_in_two_pieces_is_one() -> None:
    """convolution_param is field 106: tag 850 = d2 06."""
    made = parsed("d206 02 08 14  d206 02 28 02  d206 04 2005 2003", "LayerParameter")
    assert len(made.all("convolution_param")) == 1
    assert plain(made["convolution_param"]) == {"num_output": [20], "group": [2], "kernel_size": [5, 3]}


def test_unknown_fields_are_passed_over_and_told() -> None:
    """149 (tags a809 varint, aa09 counted, a909 and ad09 of 8 and 4 bytes) is none of Caffe's; 1 of ReLU is no varint there."""
    made = parsed("0a0161 a809 7f aa09 02 ffff a909 0102030405060708 ad09 01020304 da07 02 0801", "LayerParameter")
    assert plain(made) == {"name": ["a"], "relu_param": [{}]}
    assert made.unknown == (149,) and made["relu_param"].unknown == (1,)
    many = parse_wire(b"".join(varint(number << 3) + b"\0" for number in range(1000, 1100)), "LayerParameter", "x")
    assert len(many.unknown) == 32


@pytest.mark.parametrize(("hexadecimal", "message"), [
    ("0a", "at byte 1, a number is cut short or has more than ten bytes"),
    ("0a 05 6162", "at byte 0, field 1 says that it has 5 bytes, and 2 are left"),
    ("0a ffffffffffffffffff01", "at byte 0, field 1 says that it has 18,446,744,073,709,551,615 bytes, and 0 are left"),
    ("28" + "80" * 11, "at byte 1, a number is cut short or has more than ten bytes"),
    ("0b", "at byte 0, field 1 has the form 3, which no file of Caffe uses"),
    ("0c", "field 1 has the form 4"), ("0e", "field 1 has the form 6"), ("0f", "field 1 has the form 7"),
    ("02 00", "at byte 0, a field has the number 0"),
    ("a206 03 0a 05 61", "at byte 3, field 1 says that it has 5 bytes, and 1 are left"),  # its message ends earlier than the file
    ("a206 02 2d 00", "at byte 3, 'loss_weight' is cut short"),
    ("a206 03 2a 01 00", "at byte 5, 'loss_weight' has 1 bytes, which are no whole float numbers"),
    ("39 00000000", "field 7 says that it has 8 bytes, and 4 are left"),
])  # fmt: skip
def test_what_is_refused(hexadecimal: str, message: str) -> None:
    with pytest.raises(
        DataError, match=f"x.caffemodel: is no binary NetParameter of Caffe, or cut short: .*{message}.*; get it again"
    ):
        parsed(hexadecimal)


def test_a_file_of_empty_messages_is_refused_before_it_fills_the_memory(monkeypatch: Any) -> None:
    monkeypatch.setattr(wire, "MOST", 1000)
    for content in ("a20600" * 1001, "1a00" * 1001, "2001" * 1001, "22 8808" + "01" * 1032, "a80900" * 1001):
        with pytest.raises(DataError, match="there are more than 1,000 values, arrays apart; no file of Caffe has"):
            parsed(content)


def test_a_message_in_too_many_pieces_is_refused() -> None:
    with pytest.raises(DataError, match="'transform_param' is the last of more than 1,000 pieces of messages"):
        parsed("a206 02 1801" * 1002, "LayerParameter")  # 100 is transform_param here


@pytest.mark.parametrize(("content", "message"), [
    (b"<!DOCTYPE html>", "is a page of HTML or XML; expected a binary file of Caffe .NetParameter."),
    (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS, not the file itself"),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"), (b"\x1f\x8b\x08", "is packed with gzip; unpack it first"), (b"PK\x03\x04", "is a zip file"),
])  # fmt: skip
def test_files_of_another_kind(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.caffemodel"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"x.caffemodel: {message}"):
        read_wire(path, "NetParameter")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "x.caffemodel"
    with pytest.raises(DataError, match="x.caffemodel: there is no such file"):
        read_wire(path, "NetParameter")
    path.write_bytes(b"")
    assert read_wire(path, "NetParameter").fields == {}
    path.write_bytes(write_wire(Message("NetParameter").put("name", "a")))
    assert read_wire(path, "NetParameter")["name"] == "a"


def test_what_is_written_by_hand() -> None:
    made = (
        Message("LayerParameter").put("phase", "TEST").put("name", "é").add("loss_weight", 1).add("propagate_down", True, False)
    )
    made.put("pooling_param", Message("PoolingParameter").put("pool", "AVE").put("pad", 300))
    assert write_wire(made).hex() == "0a02c3a92d0000803f500158015800ca0705080120ac02"
    blob = Message("BlobProto").put("data", np.array([[1, -2]], np.float32)).put("shape", Message("BlobShape").add("dim", 1, 2))
    assert write_wire(blob).hex() == "2a080000803f000000c03a040a020102"
    assert write_wire(Message("BlobProto").add("data", 1.0, 1e300)).hex() == "2a080000803f0000807f"
    assert write_wire(Message("NetState").put("level", -1)).hex() == "10" + "ff" * 9 + "01"


def test_what_cannot_be_written() -> None:
    with pytest.raises(DataError, match="'upsample_param' is no field of Caffe's LayerParameter; a binary file cannot hold it"):
        write_wire(Message("LayerParameter").put("upsample_param", Message("Unknown")))


@given(some.sampled_from(KINDS).flatmap(messages))
@settings(deadline=None)
def test_what_is_written_is_read_again(message: Message) -> None:
    content = write_wire(message)
    found = parse_wire(content, message.kind, "x")
    assert same(plain(found), plain(message)) and write_wire(found) == content


@given(some.sampled_from(["NetParameter", "SolverState", "BlobProto"]), some.binary(max_size=60))
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_read_or_refused(kind: str, content: bytes) -> None:
    try:
        parse_wire(content, kind, "x")
    except DataError as error:
        assert str(error).startswith("x: is no binary")


@given(messages("NetParameter"), some.data())
@settings(deadline=None)
def test_a_file_cut_or_bent_anywhere_is_read_or_refused(message: Message, data: Any) -> None:
    content = bytearray(write_wire(message))
    if content:
        content[data.draw(some.integers(0, len(content) - 1))] = data.draw(some.integers(0, 255))
    try:
        parse_wire(bytes(content[: data.draw(some.integers(0, len(content)))]), "NetParameter", "x")
    except DataError as error:
        assert str(error).startswith("x: is no binary")


@given(some.sampled_from(KINDS).flatmap(messages))
@settings(deadline=None, max_examples=50)
def test_protobuf_reads_the_same(message: Message) -> None:
    """protobuf itself, told of our schema, reads what we write and writes what we read."""
    pytest.importorskip("google.protobuf")
    theirs = foreign(message.kind)
    content = write_wire(message)
    theirs.ParseFromString(content)
    assert theirs.SerializeToString(deterministic=True) == content


def foreign(kind: str) -> Any:
    """An empty message of protobuf's with the fields of our schema."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    if not POOL:
        file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
        for name, names in ENUMS.items():
            told = file.enum_type.add(name=name.replace(".", "_"))
            for word, number in names.items():
                told.value.add(name=f"{told.name}_{word}", number=number)
        for name, fields in MESSAGES.items():
            made = file.message_type.add(name=name)
            for word, field in fields.items():
                enum, message = field.is_enum, field.is_message
                type = 14 if enum else 11 if message else TYPES[field.type]
                entry = made.field.add(name=word, number=field.number, type=type, label=3 if field.repeated else 1)
                if enum or message:
                    entry.type_name = f".caffe.{field.type.replace('.', '_')}"
                entry.options.packed = field.packed
        POOL.append(descriptor_pool.DescriptorPool())
        POOL[0].Add(file)
    return message_factory.GetMessageClass(POOL[0].FindMessageTypeByName(f"caffe.{kind}"))()


POOL: list[Any] = []
TYPES = {"double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9, "bytes": 12, "uint32": 13}


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden values are not at {GOLDEN}")
@pytest.mark.parametrize(
    ("suffix", "kind"), [(".caffemodel", "NetParameter"), (".solverstate", "SolverState"), (".binaryproto", "BlobProto")]
)
def test_golden_files_are_read_and_written_to_the_byte(suffix: str, kind: str) -> None:
    paths = sorted(GOLDEN.rglob(f"*{suffix}"))
    assert paths
    for path in paths:
        assert write_wire(read_wire(path, kind)) == path.read_bytes(), path
