from pipeline.evaluation import data_flow
from tfrecords_builder import Preprocessing
from tfrecords_builder.manifest import LeftOut, Manifest, Shard, SplitContent


def manifest(left_out: tuple[LeftOut, ...] = (), **splits: SplitContent) -> Manifest:
    return Manifest(Preprocessing(), "raw", "0.3.0", {}, splits, left_out)


def content(normal: int, pneumonia: int, patients: int) -> SplitContent:
    shard = Shard("shard", normal + pneumonia, 1, "0" * 64)
    return SplitContent((shard,), {"NORMAL": normal, "PNEUMONIA": pneumonia}, patients)


def test_images_that_were_found_are_stored_or_left_out_with_their_reasons():
    site = manifest(
        (LeftOut("a", "damaged"), LeftOut("b", "no image"), LeftOut("c", "damaged")), test=content(3, 4, 6)
    )

    flow = data_flow.measure(site, manifest(train=content(10, 20, 25), val=content(1, 2, 3)))

    assert flow.images_found == 10
    assert [(left_out.reason, left_out.images) for left_out in flow.images_left_out] == [
        ("damaged", 2),
        ("no image", 1),
    ]
    assert flow.splits == {"test": data_flow.SplitFlow({"NORMAL": 3, "PNEUMONIA": 4}, 6)}
    assert flow.training_images == {"NORMAL": 10, "PNEUMONIA": 20}
