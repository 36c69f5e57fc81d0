"""95 % intervals by the bootstrap over groups (patients): all clips of a drawn patient come along, as often as drawn.

Percentile intervals of the cluster bootstrap (Field & Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x). Resamples
are not built: a resample is how often each group was drawn, and every figure follows from sums per group or, where
scores are ranked, from cumulative sums along the sorted scores.
"""
from vft.stats.bootstrap import Intervals, bootstrap, bootstrap_between, bootstrap_difference, figures
from vft.stats.draws import draws
from vft.stats.folds import across_folds
from vft.stats.means import means
from vft.stats.videos import phase, phase_between

__all__ = ["Intervals", "across_folds", "bootstrap", "bootstrap_between", "bootstrap_difference", "draws", "figures",
           "means", "phase", "phase_between"]
