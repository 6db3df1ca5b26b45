"""The OpenMoji drawings as data for NanoGen: classes, captioned scenes, a tiny VAE and two judges, all offline.

Importing the package loads no torch: take what you need from its modules.
"""
