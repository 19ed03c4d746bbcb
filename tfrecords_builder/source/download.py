"""Downloads the public dataset from Kaggle, with kagglehub (extra `kaggle`)."""

import contextlib
import sys
import tempfile
from pathlib import Path

from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

CHEST_XRAY_PNEUMONIA = "paultimothymooney/chest-xray-pneumonia"


def download(folder: str) -> None:
    """Downloads the public dataset into a folder, unless the folder already has files.

    The folder appears only when the download is complete.

    Raises:
        UserError: if kagglehub is not installed, or the download fails.
    """
    target = Path(folder)
    if target.is_dir() and any(target.iterdir()):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # A folder of a new name: it may be deleted, as nobody else has files in it.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as unfinished:
        _download(CHEST_XRAY_PNEUMONIA, Path(unfinished) / "images")
        storage.remove_empty_folder(str(target))
        (Path(unfinished) / "images").rename(target)


def _download(dataset: str, folder: Path) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # kagglehub logs to stdout, which is for results
        try:
            import kagglehub
        except ImportError:
            raise UserError("--download needs kagglehub: pip install 'chest-xray-pipeline[kaggle]'") from None
        try:
            kagglehub.dataset_download(dataset, output_dir=str(folder))
        # The errors of kagglehub, its client and requests have no common class.
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
            raise UserError(
                f"{dataset!r} cannot be downloaded ({reason}): check the network, or download "
                f"https://www.kaggle.com/datasets/{dataset} by hand and give its folder as SOURCE"
            ) from None
