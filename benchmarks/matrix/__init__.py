"""Every method on both tasks for a short while each, side by side on one page: `make matrix`."""
