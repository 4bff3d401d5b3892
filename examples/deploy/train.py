"""Learns to read digits, and writes what it has learned into weights.csv: ``python train.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

LEARNED = 1_500  # of the 1,797 images: the tests look at how well it reads the others
WEIGHTS = Path(__file__).with_name("weights.csv")


def main() -> None:
    images, digits = load_digits(return_X_y=True)
    model = LogisticRegression(C=0.01, max_iter=1_000).fit(images[:LEARNED], digits[:LEARNED])
    # A row for each pixel, and one for what holds whatever the image; a column for each digit.
    weights = np.vstack([model.coef_.T, model.intercept_])
    np.savetxt(WEIGHTS, weights, fmt="%.4f", delimiter=",")


if __name__ == "__main__":
    main()
