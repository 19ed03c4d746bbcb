"""The gray levels of DICOM: padding, bits, rescaling, lookup tables, windows, inversion."""

import numpy as np
import pytest

from tests.tfrecords_builder.decoding.dicom_files import STORED, as_file, dataset, lut, table_of_bytes
from tfrecords_builder.decoding import UnreadableImage, decode

# Decoding silences pydicom once for the process; pytest brings warnings back for every test.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def test_without_a_window_the_range_of_the_pixels_is_shown():
    # 255 * [0, 100, 1000, 2000, 3000, 4095] / 4095, rounded
    np.testing.assert_array_equal(decode(as_file(dataset())), [[0, 6, 62], [125, 187, 255]])
    np.testing.assert_array_equal(
        decode(as_file(dataset(np.array([[1000, 1001], [1002, 1004]], np.uint16)))), [[0, 64], [128, 255]]
    )
    assert decode(as_file(dataset())).dtype == np.uint8


def test_a_linear_window_by_the_formula_of_the_standard():
    # PS3.3 C.11.2.1.2.1: ((x - (2000 - 0.5)) / (2001 - 1) + 0.5) * 255 between 999.5 and 2999.5
    shown = decode(as_file(dataset(WindowCenter=2000, WindowWidth=2001)))

    np.testing.assert_array_equal(shown, [[0, 0, 0], [128, 255, 255]])
    # The first of several windows: center 100.5, width 201: 0 to 200
    shown = decode(as_file(dataset(WindowCenter=[100.5, 2000], WindowWidth=[201, 4096])))
    np.testing.assert_array_equal(shown, [[0, 128, 255], [255, 255, 255]])


def test_exact_and_sigmoid_windows():
    exact = decode(as_file(dataset(WindowCenter=2000, WindowWidth=2000, VOILUTFunction="LINEAR_EXACT")))
    np.testing.assert_array_equal(exact, [[0, 0, 0], [128, 255, 255]])

    sigmoid = decode(as_file(dataset(WindowCenter=2000, WindowWidth=2000, VOILUTFunction="SIGMOID")))
    expected = 255 / (1 + np.exp(-4 * (STORED - 2000.0) / 2000))
    np.testing.assert_array_equal(sigmoid, np.rint(expected))
    narrow = decode(as_file(dataset(WindowCenter=2000, WindowWidth=1, VOILUTFunction="SIGMOID")))
    np.testing.assert_array_equal(narrow, [[0, 0, 0], [128, 255, 255]])


def test_the_window_applies_to_rescaled_values():
    # Values 0.5 * stored - 1000 are [-1000, -950, -500, 0, 500, 1047.5]; the window goes from -500 to 500.
    rescaled = dataset(RescaleSlope="0.5", RescaleIntercept="-1000", WindowCenter="0.5", WindowWidth="1001")

    np.testing.assert_array_equal(decode(as_file(rescaled)), [[0, 0, 0], [128, 255, 255]])


def test_a_negative_slope_inverts():
    np.testing.assert_array_equal(
        decode(as_file(dataset(RescaleSlope="-1", RescaleIntercept="4095"))), [[255, 249, 193], [130, 68, 0]]
    )
    windowed = dataset(RescaleSlope="-1", RescaleIntercept="4095", WindowCenter="2048", WindowWidth="4096")
    np.testing.assert_array_equal(decode(as_file(windowed)), [[255, 249, 193], [130, 68, 0]])


def test_monochrome1_is_inverted():
    inverted = dataset(PhotometricInterpretation="MONOCHROME1")

    np.testing.assert_array_equal(decode(as_file(inverted)), 255 - decode(as_file(dataset())))


def test_signed_pixels_over_their_whole_range():
    stored = np.array([[-32768, -16384, 0, 32767]], np.int16)

    np.testing.assert_array_equal(decode(as_file(dataset(stored, bits=16))), [[0, 64, 128, 255]])


def test_an_image_of_one_value_is_black():
    flat = np.full((2, 3), 77, np.uint16)

    np.testing.assert_array_equal(decode(as_file(dataset(flat))), np.zeros((2, 3)))


def test_a_lookup_table_is_used_instead_of_the_window():
    stored = np.array([[0, 10, 11, 12, 13, 4000]], np.uint16)
    tabled = dataset(
        stored, VOILUTSequence=lut(10, 10, [0, 341, 682, 1023]), WindowCenter="1", WindowWidth="2"
    )

    # Levels before the first entry (10) get it, those after the last (13) get that: 1023 is white in 10 bits.
    np.testing.assert_array_equal(decode(as_file(tabled)), [[0, 0, 85, 170, 255, 255]])


def test_a_lookup_table_of_8_bits_with_more_than_256_entries():
    table = [index // 16 for index in range(4096)]

    shown = decode(as_file(dataset(VOILUTSequence=lut(0, 8, table))))

    np.testing.assert_array_equal(shown, STORED // 16)


def test_a_modality_lookup_table():
    stored = np.array([[0, 1, 2, 3]], np.uint16)
    tabled = dataset(stored, ModalityLUTSequence=lut(0, 16, [500, 600, 800, 1000]))

    # (value - 500) / 500 * 255: 0, 51, 153, 255
    np.testing.assert_array_equal(decode(as_file(tabled)), [[0, 51, 153, 255]])


PADDED = np.array([[-2000, -2000, 0], [500, 1000, -2000]], np.int16)


def padded(**elements) -> np.ndarray:
    return decode(as_file(dataset(PADDED, bits=16, **elements)))


def test_padding_takes_no_part_in_the_range_and_is_black():
    np.testing.assert_array_equal(padded(PixelPaddingValue=-2000), [[0, 0, 0], [128, 255, 0]])


def test_padding_is_black_in_an_inverted_image_too():
    shown = padded(PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1")

    np.testing.assert_array_equal(shown, [[0, 0, 255], [127, 0, 0]])


def test_padding_is_black_whatever_the_window_shows():
    shown = padded(PixelPaddingValue=-2000, WindowCenter=-2000, WindowWidth=9000)

    assert shown[0, 0] == shown[0, 1] == shown[1, 2] == 0
    assert 0 < shown[0, 2] < shown[1, 0] < shown[1, 1]


@pytest.mark.parametrize(("first", "last"), [(-2000, 100), (100, -2000)])
def test_a_range_of_padding(first, last):
    shown = padded(PixelPaddingValue=first, PixelPaddingRangeLimit=last)

    np.testing.assert_array_equal(shown, [[0, 0, 0], [0, 255, 0]])


def test_padding_that_is_written_without_its_sign():
    made = dataset(PADDED, bits=16)
    made.add_new("PixelPaddingValue", "US", 65536 - 2000)

    np.testing.assert_array_equal(decode(as_file(made)), [[0, 0, 0], [128, 255, 0]])


def test_padding_outside_of_the_stored_bits():
    stored = np.array([[65535, 0, 1000, 4095]], np.uint16)

    shown = decode(as_file(dataset(stored, bits=12, PixelPaddingValue=65535)))

    np.testing.assert_array_equal(shown, [[0, 0, 62, 255]])


def test_padding_of_a_value_that_no_pixel_has_changes_nothing():
    np.testing.assert_array_equal(decode(as_file(dataset(PixelPaddingValue=77))), decode(as_file(dataset())))


def test_bits_are_shifted_as_the_high_bit_says():
    np.testing.assert_array_equal(
        decode(as_file(dataset(STORED * 16, HighBit=15))), decode(as_file(dataset()))
    )
    windowed = {"WindowCenter": 2000, "WindowWidth": 2001}
    np.testing.assert_array_equal(
        decode(as_file(dataset(STORED * 16, HighBit=15, **windowed))), decode(as_file(dataset(**windowed)))
    )


@pytest.mark.parametrize("overlay", [0x1000, 0xF000])
def test_overlays_in_the_bits_above_are_masked(overlay):
    with_overlay = STORED | np.array([[0, overlay, 0], [overlay, 0, overlay]], np.uint16)

    np.testing.assert_array_equal(decode(as_file(dataset(with_overlay))), decode(as_file(dataset())))


def test_overlays_in_the_bits_below_are_shifted_out():
    with_overlay = STORED * 16 + np.array([[0, 1, 0], [8, 0, 15]], np.uint16)

    np.testing.assert_array_equal(
        decode(as_file(dataset(with_overlay, HighBit=15))), decode(as_file(dataset()))
    )


def test_signed_values_of_12_bits_with_anything_above_them():
    values = np.array([[-2048, -1, 0, 2047]], np.int16)
    words = (values.view(np.uint16) & 0x0FFF | 0x5000).view(np.int16)

    np.testing.assert_array_equal(decode(as_file(dataset(words, bits=12))), [[0, 127, 128, 255]])


@pytest.mark.parametrize(("bits", "high_bit"), [(12, 10), (12, 16), (17, 16), (8, 20)])
def test_bits_that_a_word_does_not_have_are_refused(bits, high_bit):
    made = dataset(HighBit=high_bit)
    made.BitsStored = bits

    with pytest.raises(UnreadableImage, match=f"BitsStored {bits} and HighBit {high_bit} in 16 bits"):
        decode(as_file(made))


UNUSABLE = {
    "of width 0": {"WindowCenter": 100, "WindowWidth": 0},
    "of negative width": {"WindowCenter": 100, "WindowWidth": -300},
    "of width NaN": {"WindowCenter": 100, "WindowWidth": "NaN"},
    "with center NaN": {"WindowCenter": "NaN", "WindowWidth": 100},
    "of infinite width": {"WindowCenter": 100, "WindowWidth": "inf"},
    "without a center": {"WindowWidth": 100},
    "with an empty center": {"WindowCenter": "", "WindowWidth": 100},
    "with an empty width": {"WindowCenter": 100, "WindowWidth": None},
    "above all pixels": {"WindowCenter": 50000, "WindowWidth": 100},
    "below all pixels": {"WindowCenter": -50000, "WindowWidth": 100},
    "a sigmoid of width 0": {"WindowCenter": 100, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
    "a sigmoid far away": {"WindowCenter": 50000, "WindowWidth": 1, "VOILUTFunction": "SIGMOID"},
    "exact, of width 0": {"WindowCenter": 100, "WindowWidth": 0, "VOILUTFunction": "LINEAR_EXACT"},
}


@pytest.mark.parametrize("window", UNUSABLE)
def test_a_window_that_shows_nothing_gives_way_to_the_range(window):
    np.testing.assert_array_equal(decode(as_file(dataset(**UNUSABLE[window]))), decode(as_file(dataset())))


def test_a_window_of_width_1_is_a_step():
    shown = decode(as_file(dataset(WindowCenter=1000, WindowWidth=1)))

    np.testing.assert_array_equal(shown, [[0, 0, 255], [255, 255, 255]])


@pytest.mark.parametrize("function", ["", "linear ", "SOMETHING ELSE"])
def test_an_unknown_function_of_the_window_is_linear(function):
    windowed = dataset(WindowCenter=2000, WindowWidth=2001, VOILUTFunction=function)

    np.testing.assert_array_equal(decode(as_file(windowed)), [[0, 0, 0], [128, 255, 255]])


def test_a_window_on_an_image_of_one_value_is_applied():
    flat = dataset(np.full((2, 3), 1500, np.uint16), WindowCenter=2000, WindowWidth=2001)

    np.testing.assert_array_equal(decode(as_file(flat)), np.full((2, 3), 64))


RESCALES = {
    "empty": {"RescaleSlope": "", "RescaleIntercept": ""},
    "none": {"RescaleSlope": None, "RescaleIntercept": None},
    "only an intercept": {"RescaleIntercept": "-1024"},
    "only a slope": {"RescaleSlope": "2"},
    "slope 0": {"RescaleSlope": "0", "RescaleIntercept": "5"},
    "slope NaN": {"RescaleSlope": "NaN", "RescaleIntercept": "0"},
    "intercept infinite": {"RescaleSlope": "1", "RescaleIntercept": "inf"},
    "too large a slope": {"RescaleSlope": "1e308", "RescaleIntercept": "0"},
}


@pytest.mark.parametrize("rescale", RESCALES)
def test_rescaling_that_is_empty_or_makes_all_pixels_one_is_left_out(rescale):
    np.testing.assert_array_equal(decode(as_file(dataset(**RESCALES[rescale]))), decode(as_file(dataset())))


def test_without_usable_rescaling_the_window_is_left_out_as_well():
    made = dataset(RescaleSlope="0", RescaleIntercept="5", WindowCenter="100", WindowWidth="50")

    np.testing.assert_array_equal(decode(as_file(made)), decode(as_file(dataset())))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_tables_with_entries_of_any_number_of_bits(bits):
    white = (1 << bits) - 1
    tabled = dataset(np.array([[0, 1, 2]], np.uint16), VOILUTSequence=lut(0, bits, [0, white // 3, white]))

    np.testing.assert_array_equal(decode(as_file(tabled)), [[0, 85, 255]])


@pytest.mark.parametrize(
    "data",
    [bytes([0, 51, 102, 255]), np.array([0, 51, 102, 255], "<u2").tobytes()],
    ids=["one byte each", "two bytes each"],
)
def test_tables_in_bytes(data):
    stored = np.array([[0, 1, 2, 3]], np.uint16)

    shown = decode(as_file(dataset(stored, VOILUTSequence=table_of_bytes(data, 4, 0, 8))))

    np.testing.assert_array_equal(shown, [[0, 51, 102, 255]])


def test_a_modality_table_in_bytes_of_12_bits():
    stored = np.array([[0, 1, 2]], np.uint16)
    data = np.array([1000, 1500, 2000], "<u2").tobytes()

    shown = decode(as_file(dataset(stored, ModalityLUTSequence=table_of_bytes(data, 3, 0, 12))))

    np.testing.assert_array_equal(shown, [[0, 128, 255]])


def test_a_table_whose_first_value_is_negative():
    stored = np.array([[-2, -1, 0, 1]], np.int16)
    tabled = dataset(stored, bits=16, VOILUTSequence=lut(65536 - 2, 8, [0, 85, 170, 255]))

    np.testing.assert_array_equal(decode(as_file(tabled)), [[0, 85, 170, 255]])


def test_a_table_of_65536_entries():
    stored = np.array([[0, 32768, 65535]], np.uint16)
    data = np.arange(65535, -1, -1, dtype="<u2").tobytes()

    shown = decode(as_file(dataset(stored, bits=16, VOILUTSequence=table_of_bytes(data, 0, 0, 16))))

    np.testing.assert_array_equal(shown, [[255, 127, 0]])


def test_a_table_that_shows_nothing_gives_way_to_the_window():
    made = dataset(VOILUTSequence=lut(0, 8, [9, 9]), WindowCenter=2000, WindowWidth=2001)

    np.testing.assert_array_equal(decode(as_file(made)), [[0, 0, 0], [128, 255, 255]])


@pytest.mark.parametrize("colors", ["MONOCHROME1", "MONOCHROME2"])
def test_the_shape_inverse_inverts_once(colors):
    inverse = dataset(PhotometricInterpretation=colors, PresentationLUTShape="INVERSE")

    np.testing.assert_array_equal(decode(as_file(inverse)), 255 - decode(as_file(dataset())))


def test_the_shape_identity_inverts_nothing():
    np.testing.assert_array_equal(
        decode(as_file(dataset(PresentationLUTShape="IDENTITY"))), decode(as_file(dataset()))
    )
