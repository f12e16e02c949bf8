"""Small networks of our own that look at faces: AU detectors, identity, realism; and what they say, calibrated.

>>> from ausynth.networks import AUNet, load, save
"""

from ausynth.networks.au import AUNet as AUNet
from ausynth.networks.files import fingerprint as fingerprint
from ausynth.networks.files import load as load
from ausynth.networks.files import save as save

__all__ = ["AUNet", "fingerprint", "load", "save"]
