"""Short trainings of every method on both tasks, with a page of results: `make matrix`."""
