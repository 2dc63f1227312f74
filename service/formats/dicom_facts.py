"""What a DICOM header says about the picture in words that are safe to repeat.

Every text here comes from a list of ours: attributes hold whatever somebody typed, names of patients included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydicom import Dataset

from service.formats.functional_groups import Frame
from service.source import Flag

MODALITIES = ("US", "MG", "MR", "XC", "CT", "CR", "DX", "NM", "PT", "RG", "OT", "SC", "ES", "GM", "SM")
LATERALITIES = ("L", "R", "B")
VIEWS = ("CC", "MLO", "ML", "LM", "LMO", "FB", "SIO", "XCC", "XCCL", "XCCM", "ISO", "AT", "SPECIMEN")
# CID 4014, SNOMED CT and the retired SNOMED RT codes.
VIEW_CODES = {
    "399260004": "ML", "R-10224": "ML",
    "399368009": "MLO", "R-10226": "MLO",
    "399352003": "LM", "R-10228": "LM",
    "399099002": "LMO", "R-10230": "LMO",
    "399162004": "CC", "R-10242": "CC",
    "399196006": "FB", "R-10244": "FB",
    "399188001": "SIO", "R-102D0": "SIO",
    "441555000": "ISO", "R-40AAA": "ISO",
    "399192008": "XCCL", "R-1024A": "XCCL",
    "399101009": "XCCM", "R-1024B": "XCCM",
    "127457009": "SPECIMEN", "G-8310": "SPECIMEN",
}  # fmt: skip
TEXT_LIKELY = ("US", "OT", "SC", "XC", "ES")
FOR_PROCESSING_CLASSES = ("1.2.840.10008.5.1.4.1.1.1.2.1", "1.2.840.10008.5.1.4.1.1.1.1.1")

FOR_PROCESSING = Flag(
    "for_processing",
    "This image is FOR PROCESSING: detector values, neither what a radiologist sees nor what the networks learnt from.",
)
BURNED_IN = Flag("burned_in_text", "The file says that text is burnt into the picture: it may name the patient.")
MAY_BE_BURNED_IN = Flag(
    "burned_in_text_possible", "The file does not say that no text is burnt into the picture: it may name the patient."
)
ASSUMED = Flag("transfer_syntax_assumed", "The file does not name its transfer syntax; uncompressed was assumed.")
LOSSY = Flag("lossy", "The pixels were compressed with loss before they came here.")

SIDES_DISAGREE = Flag(
    "laterality_disagrees", "The file, or the files of the series, name more than one side: none of them was believed."
)


@dataclass(frozen=True)
class Facts:
    """What may be repeated in an answer."""

    modality: str | None
    laterality: str | None
    view: str | None
    flags: tuple[Flag, ...]


def facts_of(frames: Sequence[Frame]) -> Facts:
    """Facts of the first frame; a side only where no frame names another one."""
    frame = frames[0]
    dataset = frame.dataset
    modality = _listed(dataset.get("Modality"), MODALITIES)
    burned = _listed(dataset.get("BurnedInAnnotation"), ("YES", "NO"))
    flags = [FOR_PROCESSING] if _is_for_processing(dataset) else []
    if burned == "YES":
        flags.append(BURNED_IN)
    elif burned is None and modality in TEXT_LIKELY:
        flags.append(MAY_BE_BURNED_IN)
    if str(dataset.get("LossyImageCompression", "")) == "01":
        flags.append(LOSSY)
    sides = {side for one in _told_apart(frames) for side in _sides(one)}
    if len(sides) > 1:
        flags.append(SIDES_DISAGREE)
    side = next(iter(_sides(frame)), None) if len(sides) <= 1 else None
    return Facts(modality, side, _view(dataset), tuple(flags))


def _is_for_processing(dataset: Dataset) -> bool:
    intent = str(dataset.get("PresentationIntentType", "")).strip().upper()
    return intent == "FOR PROCESSING" or str(dataset.get("SOPClassUID", "")) in FOR_PROCESSING_CLASSES


def _told_apart(frames: Sequence[Frame]) -> Iterable[Frame]:
    """Of an instance that says the same of all its frames one."""
    kinds = {
        (id(one.dataset), one.number if "PerFrameFunctionalGroupsSequence" in one.dataset else 0): one for one in frames
    }
    return kinds.values()


def _sides(frame: Frame) -> list[str]:
    """Of the image, of the frame and of the series, as far as they are named."""
    values = (
        frame.dataset.get("ImageLaterality"),
        frame.value("FrameAnatomySequence", "FrameLaterality"),
        frame.dataset.get("Laterality"),
    )
    return [side for value in values if (side := _listed(value, LATERALITIES))]


def _view(dataset: Dataset) -> str | None:
    for item in dataset.get("ViewCodeSequence") or ():
        if str(item.get("CodeValue", "")) in VIEW_CODES:
            return VIEW_CODES[str(item.CodeValue)]
    return _listed(dataset.get("ViewPosition"), VIEWS)


def _listed(value: object, known: tuple[str, ...]) -> str | None:
    text = str(value or "").strip().upper()
    return text if text in known else None
