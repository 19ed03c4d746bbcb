"""Downloads data sets of X-rays from Kaggle, with kagglehub (extra `kaggle`)."""

import contextlib
import sys

from tfrecords_builder.command import UserError

CHEST_XRAY_PNEUMONIA = "paultimothymooney/chest-xray-pneumonia"
PREFIX = "kaggle:"  # of a source that is to be downloaded


def local_source(source: str) -> str:
    """`kaggle:OWNER/DATASET` as the folder that it has been downloaded to; any other source as it is.

    Raises:
        UserError: as `download`.
    """
    return download(source.removeprefix(PREFIX)) if source.startswith(PREFIX) else source


def download(name: str = CHEST_XRAY_PNEUMONIA) -> str:
    """Downloads a data set, unless kagglehub's cache has it.

    Args:
        name: as Kaggle calls it, OWNER/DATASET.

    Returns:
        The folder that holds it, in kagglehub's cache (`KAGGLEHUB_CACHE`).

    Raises:
        UserError: if kagglehub is not installed, or the download fails.
    """
    with contextlib.redirect_stdout(sys.stderr):  # kagglehub logs to stdout, which is for results
        try:
            import kagglehub
        except ImportError:
            raise UserError(
                f"to download {name!r}, kagglehub is needed: pip install chest-xray-pipeline[kaggle]"
            ) from None
        try:
            return str(kagglehub.dataset_download(name))
        # kagglehub, its client and requests raise from no common class.
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
            raise UserError(
                f"{name!r} cannot be downloaded ({reason}): check the name and the network, or download "
                f"https://www.kaggle.com/datasets/{name} by hand and give its folder as SOURCE"
            ) from None
