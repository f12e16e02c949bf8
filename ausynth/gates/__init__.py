"""Quality gates: whether a generated picture shows what its label says, and what to do where it does not.

>>> from ausynth.gates import Agreement, GatedGenerator, Realism, Relabel
"""

from ausynth.gates.agreement import facs_agreement as facs_agreement
from ausynth.gates.agreement import jaccard as jaccard
from ausynth.gates.detectors import Detector as Detector
from ausynth.gates.detectors import look as look
from ausynth.gates.detectors import vote as vote
from ausynth.gates.generator import GatedGenerator as GatedGenerator
from ausynth.gates.judges import Agreement as Agreement
from ausynth.gates.judges import Consensus as Consensus
from ausynth.gates.judges import Gate as Gate
from ausynth.gates.judges import Realism as Realism
from ausynth.gates.judges import Relabel as Relabel
from ausynth.gates.judges import Verdict as Verdict
from ausynth.gates.named import open_gate as open_gate
from ausynth.gates.reliability import Reliability as Reliability
from ausynth.gates.reliability import calibration_error as calibration_error

__all__ = [
    "Agreement",
    "Consensus",
    "Detector",
    "Gate",
    "GatedGenerator",
    "Realism",
    "Relabel",
    "Reliability",
    "Verdict",
    "calibration_error",
    "facs_agreement",
    "jaccard",
    "look",
    "open_gate",
    "vote",
]
