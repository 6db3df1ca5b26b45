"""Class-conditional generation: the task, the label conditioner, and two datasets on disk."""
