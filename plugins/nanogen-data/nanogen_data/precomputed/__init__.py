"""Training data that were encoded once: latents and text encodings in shards, with a manifest that says of what.

A folder of them holds `manifest.json` and for each shard a tar of safetensors members, an index of where they lie, and
a record of what was skipped. `nanogen data prepare` writes it, `train.precomputed_latents` reads it.
"""
