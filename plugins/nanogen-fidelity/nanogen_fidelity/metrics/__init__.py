"""The metrics: what is kept of each image, and which score it makes."""
