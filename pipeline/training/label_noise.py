"""Which labels are probably wrong: confident learning on predictions of models that did not see the image.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021.
"""

import numpy as np
from numpy.typing import NDArray


def suspicion(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """How surely each label is wrong.

    A class is confidently predicted from its threshold on: the mean probability of the class among the images
    that are labeled so. A label is suspicious if the other class is confidently predicted, and its own is
    not.

    Args:
        labels: shape (n,), 0 or 1, both present.
        probabilities: of label 1, shape (n,), 0 to 1, of a model that was not trained with the image.

    Returns:
        Shape (n,): 0 where the label is not suspicious, else the probability of the other class, 0 to 1.
    """
    of_class = np.stack([1 - probabilities, probabilities])
    thresholds = np.array([of_class[label][labels == label].mean() for label in (0, 1)])
    rows = np.arange(len(labels))
    other = of_class[1 - labels, rows]
    confident_of_other = other >= thresholds[1 - labels]
    confident_of_own = of_class[labels, rows] >= thresholds[labels]
    return np.where(confident_of_other & ~confident_of_own, other, 0.0)
