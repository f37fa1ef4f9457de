"""How unlike normal footage a slice is: badly rebuilt, or far from every normal vector."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from pipeline.errors import ConfigError
from pipeline.tasks.behaviour.signal import log_scalars
from pipeline.tasks.behaviour.video_slices import Floats, VideoSlices, stacked
