"""Small networks of our own that look at faces: AU detectors, identity, realism; and what they say, calibrated.

>>> from ausynth.networks import AUNet, load, save
"""

from ausynth.networks.au import AUNet as AUNet
from ausynth.networks.calibration import Calibration as Calibration
from ausynth.networks.detectors import CalibratedNet as CalibratedNet
from ausynth.networks.detectors import NetDetector as NetDetector
from ausynth.networks.detectors import NetRealism as NetRealism
from ausynth.networks.files import fingerprint as fingerprint
from ausynth.networks.files import load as load
from ausynth.networks.files import save as save
from ausynth.networks.heads import IdentityNet as IdentityNet
from ausynth.networks.heads import RealismNet as RealismNet
from ausynth.networks.verifier import Verifier as Verifier

__all__ = [
    "AUNet",
    "CalibratedNet",
    "Calibration",
    "IdentityNet",
    "NetDetector",
    "NetRealism",
    "RealismNet",
    "Verifier",
    "fingerprint",
    "load",
    "save",
]
