"""Plain LightningDiT, DDT, training loop and MeanFlow loop, for comparison with the library.

They follow the description of the published code, in eager float32 or bf16 autocast: separate q, k and v, explicit
norms, interleaved rotary pairs, a mask that is always built, captions padded to their full length, torch's default
AdamW, and one EMA update per parameter. Names follow the published layout, so that our weights load. Tests compare
outputs, losses and gradients of both programs. Initial weights are torch's, because they do not change the speed.
"""
