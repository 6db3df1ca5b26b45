"""Text-to-image generation: the task, the text conditioner, frozen text encoders, and webdataset tars."""
