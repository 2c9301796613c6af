"""Ratios against the peers, measured in one run: `make bench [PART=…] [JSON=1]`."""
