import dataclasses
import hashlib
import json
import random
import re
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from tfrecords_builder import Preprocessing, manifest, record_index
from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Shard
from tfrecords_builder.record_checks import find_faults
from tfrecords_builder.records import Record, deserialize, serialize

FEW_FLIPS, MANY_FLIPS = 25, 200


@pytest.fixture(scope="module")
def built(source, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("verified") / "records"
    build(BuildConfig(str(source), str(folder), Preprocessing(16, 0.1), val_fraction=0.2, shards=1))
    return folder


@pytest.fixture
def copy(built, tmp_path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "records"))


def faults(folder) -> list[str]:
    return [str(fault) for fault in find_faults(str(folder))]


@pytest.mark.parametrize("encoding", ["raw", "png", "jpeg"])
def test_records_as_they_were_built_have_no_fault(source, tmp_path, encoding):
    build(
        BuildConfig(str(source), str(tmp_path), Preprocessing(16, 0.1), encoding=encoding, val_fraction=0.2)
    )

    assert faults(tmp_path) == []


@pytest.mark.parametrize("flips", [FEW_FLIPS, pytest.param(MANY_FLIPS, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_found_and_its_file_is_named(copy, flips):
    draw = random.Random(flips)
    files = sorted(copy.iterdir())
    for _ in range(flips):
        path = draw.choices(files, [file.stat().st_size for file in files])[0]
        content = bytearray(path.read_bytes())
        position, bit = draw.randrange(len(content)), draw.randrange(8)
        content[position] ^= 1 << bit
        path.write_bytes(content)

        found = faults(copy)

        assert any(fault.startswith(path.name) for fault in found), (path, position, bit)
        assert not any("()" in fault or fault.endswith(": ") for fault in found), found
        content[position] ^= 1 << bit
        path.write_bytes(content)
    assert faults(copy) == []


def test_a_flipped_bit_in_a_record_names_the_record(copy):
    path = next(copy.glob("train-*.tfrecord"))
    content = bytearray(path.read_bytes())
    sizes = [len(record) + 16 for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    content[sum(sizes[:5]) + 20] ^= 1
    path.write_bytes(content)

    reason = r"is damaged \(corrupted record at \d+\), so the records after it cannot be read"
    assert any(re.fullmatch(f"{path.name}: record 5: {reason}", fault) for fault in faults(copy))


@pytest.mark.parametrize("change", ["missing", "cut", "longer", "another"])
def test_a_changed_shard_is_named(copy, change):
    path = next(copy.glob("val-*.tfrecord"))
    if change == "missing":
        path.unlink()
    elif change == "cut":
        path.write_bytes(path.read_bytes()[:-7])
    elif change == "longer":
        path.write_bytes(path.read_bytes() + bytes(9))
    else:
        path = copy / "train-00007-of-00009.tfrecord"
        path.write_bytes(b"")

    assert any(fault.startswith(path.name) for fault in faults(copy))


@pytest.mark.parametrize("change", ["missing", "flipped", "of another shard"])
def test_a_changed_index_is_named(copy, change):
    path = next(copy.glob("train-*.index"))
    stored = bytearray(path.read_bytes())
    if change == "missing":
        path.unlink()
    elif change == "flipped":
        stored[5] ^= 1
        path.write_bytes(stored)
    else:
        path = copy / "train-00007-of-00009.index"
        path.write_bytes(stored)

    assert [fault.partition(":")[0] for fault in faults(copy)] == [path.name]


def test_an_index_that_was_made_for_other_records_is_named(copy):
    path = next(copy.glob("train-*.index"))
    stored = bytearray(path.read_bytes())
    stored[0] ^= 1  # the label of the first record
    path.write_bytes(stored)
    shards = manifest.load(str(copy)).splits["train"].shards
    changed = [
        dataclasses.replace(shard, index_sha256=hashlib.sha256(stored).hexdigest())
        if record_index.file_name(shard.name) == path.name
        else shard
        for shard in shards
    ]
    redescribed(copy, "train", shards=tuple(changed))

    assert faults(copy) == [f"{path.name}: it does not say where the records of its shard are"]


def rewritten(folder: Path, split: str, change) -> None:
    """Changes the records of a split, and the digest and size in dataset.json so that they fit."""
    path = next(folder.glob(f"{split}-*.tfrecord"))
    records = [deserialize(one) for one in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in change(records):
            writer.write(serialize(record) if isinstance(record, Record) else record)
    (folder / record_index.file_name(path.name)).unlink(missing_ok=True)
    content = manifest.load(str(folder))
    shard = Shard(
        path.name,
        content.splits[split].shards[0].records,
        path.stat().st_size,
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    redescribed(folder, split, shards=(shard,))


def redescribed(folder: Path, split: str, **changes) -> None:
    """Changes what dataset.json says about a split, and its own digest so that it fits."""
    content = manifest.load(str(folder))
    splits = content.splits | {split: dataclasses.replace(content.splits[split], **changes)}
    (folder / "dataset.json").write_text(dataclasses.replace(content, splits=splits).to_json())


def with_first(**changes):
    return lambda records: [Record(**{**records[0].__dict__, **changes}), *records[1:]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_first(label=7), "record 0: has label 7"),
        (with_first(image=b"short"), "record 0: has 5 bytes of pixels, expected 256"),
        (with_first(sha256="abc"), "record 0: has the sha256"),
        (with_first(lungs=b"abc"), "record 0: has 3 bytes of lung mask, expected 32 or none"),
        (with_first(lungs=b""), "lung masks, it has"),
        (with_first(lungs=None), "lung masks, it has"),
        (lambda records: [b"\xff\xff\xff", *records[1:]], "record 0: not a tf.train.Example"),
        (lambda records: records[:-1], "dataset.json says"),
        (lambda records: [records[1], *records[1:]], "is in 2 records"),
        (lambda records: [*records[::-1]], None),
    ],
)
def test_faults_inside_a_record_are_named(copy, change, words):
    rewritten(copy, "train", change)

    found = faults(copy)

    assert any(words in fault for fault in found) if words else found == []


def test_a_patient_on_both_sides_of_the_validation_split_is_named(copy):
    patients = []

    def note(records):
        patients.append(records[0].patient)
        return records

    rewritten(copy, "train", note)
    rewritten(copy, "val", with_first(patient=patients[0]))

    assert f"{patients[0]}: this patient is both in train and in val" in faults(copy)


def test_a_folder_without_records_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match=r"no dataset\.json"):
        find_faults(str(tmp_path))


def test_wrong_counts_are_found(copy):
    content = manifest.load(str(copy)).splits["val"]
    redescribed(
        copy,
        "val",
        classes={"NORMAL": 0, "PNEUMONIA": content.records},
        patients=content.patients + 1,
        lungs=content.lungs + 1,
    )

    assert [fault for fault in faults(copy) if "says that val has" in fault and "patients" in fault]
    assert [fault for fault in faults(copy) if "says that val has {" in fault]
    assert [fault for fault in faults(copy) if "says that val has" in fault and "lung masks" in fault]


def test_names_with_the_characters_of_patterns_mean_themselves(built, tmp_path):
    folder = Path(shutil.copytree(built, tmp_path / "records [a] *?"))
    shutil.copytree(built, tmp_path / "records a")
    (tmp_path / "records a/train-00007-of-00009.tfrecord").write_bytes(b"")

    assert faults(folder) == []
    (folder / "train-00007-of-00009.tfrecord").write_bytes(b"")
    assert faults(folder) == ["train-00007-of-00009.tfrecord: dataset.json does not name this file"]


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\xff" * 99, b"{}", b"[]", b"null", b'{"format_version": 9}']
)
def test_a_damaged_dataset_json_has_a_reason(copy, content):
    (copy / "dataset.json").write_bytes(content)

    (fault,) = faults(copy)
    assert re.fullmatch(r"dataset\.json: .{10,}", fault)
    assert "()" not in fault


def test_records_of_an_older_builder_have_no_fault(copy):
    """Their dataset.json lacks the settings that came later."""
    fields = json.loads((copy / "dataset.json").read_text())
    del fields["sha256"]
    fields["builder_version"] = "0.1.0"
    fields["preprocessing"] = {name: fields["preprocessing"][name] for name in ("image_size", "border")}
    fields["arguments"]["table"] = {"positive": ["1", "PNEUMONIA"]}
    digest = hashlib.sha256((json.dumps(fields, indent=2) + "\n").encode()).hexdigest()
    (copy / "dataset.json").write_text(json.dumps(fields | {"sha256": digest}, indent=2) + "\n")

    assert faults(copy) == []
    assert manifest.load(str(copy)).builder_version == "0.1.0"
