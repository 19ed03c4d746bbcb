"""What the findings are called in every report, by their fields in `Audit`."""

from tfrecords_builder.audit.odd_images import TINY_SIDE

GROUP_TITLES = {
    "shared_patients": "patients in several splits",
    "identical": "byte-identical images",
    "near": "near-identical images",
}
ODD_TITLES = {
    "unreadable": "unreadable",
    "tiny": f"shorter side < {TINY_SIDE} pixels",
    "blank": "blank",
    "inverted": "probably inverted",
}
