"""Hugging Face datasets on disk as a dataset for either task: what `save_to_disk` wrote, or parquet files."""
