"""Whether what a model reads now is still what it was trained on.

What the stable version was served is in the offline store, as far as its views log it
(`downsync: served`). Each stored feature that it reads, and its score, is held against the
reference in its manifest: by the distance of Kolmogorov and Smirnov at the reference's quantiles,
and by the share of rows without a value.
"""
