"""MAUGen: a diffusion model that paints a face and reads its action units off what it painted.

After "MAUGen: A Unified Diffusion Approach for Multi-Identity Facial Expression and AU Label Generation" (Li, Lou, Gao,
Zhang and Song); equation numbers in this folder are that paper's, and `[C]` marks a choice where it is silent.

>>> from ausynth.generators.maugen.config import preset
>>> preset("mini").image_size
64
"""
