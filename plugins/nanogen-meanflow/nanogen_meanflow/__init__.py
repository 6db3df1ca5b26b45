"""MeanFlow and what grew out of it: networks that predict average velocities, and sample in a jump or two."""
