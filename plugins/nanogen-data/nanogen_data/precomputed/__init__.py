"""Precomputed training data: latents and text encodings in shards, with a manifest.

A folder contains `manifest.json` and, for each shard, a tar of safetensors members, an index of their offsets, and a
record of skipped samples. `nanogen data prepare` writes it, `train.precomputed_latents` reads it.
"""
