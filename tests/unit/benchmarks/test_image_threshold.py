"""The threshold of the built-in descriptor is the one that its script fits."""

import numpy as np
import pytest

from personavlm.platform.encoders.image_descriptor import ImageDescriptor
from tests.benchmarks.image_threshold import Cosines, measure


def test_the_threshold_in_use_is_the_fitted_one() -> None:
    descriptor = ImageDescriptor()
    found = measure(descriptor)
    assert descriptor.threshold == pytest.approx(found.threshold())
    assert found.missed(descriptor.threshold) < 0.05 and found.confused(descriptor.threshold) <= 0.01


def test_the_threshold_lies_above_what_confuses_things() -> None:
    nearest = np.array([*np.linspace(0.1, 0.8, 199), 0.97])
    fitted = Cosines(np.array([0.9]), nearest, nearest).threshold()
    assert 0.8 <= fitted <= 0.81 and Cosines(nearest, np.ones(9), nearest).threshold() == 1
