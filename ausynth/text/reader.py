"""The inverse of the AU text processor: a text becomes AUs and their levels.

What `describe` wrote is read exactly, sentence by sentence. The rest is read clause by clause, as far as a small
lexicon goes: parts of the face and what they do, words such as "smile" and "frown", names and codes of AUs, emotions
(through `facs.PROTOTYPES`), words of degree, and negation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import numpy as np

from ausynth import facs
from ausynth.errors import ConfigurationError
from ausynth.labels import Floats
from ausynth.text.lexicon import CODE, Mention, compound, find, rules, still_aus, whole_aus
from ausynth.text.phrases import SLOT, alternatives, book, skeleton

__all__ = ["UNGRADED", "intensities_of", "parse"]

UNGRADED: Final = 3
"""The level of a facial action that a text mentions without saying how strong it is."""

_MOVES: Final = r"(?:movement|motion|action|change)"
_BREAKS: Final = re.compile(
    r"[.,;:!?()\u2013\u2014]+"
    rf"|\b(?:but|while|whilst|though|although|yet|whereas|plus|conveyed|showing|with(?! no {_MOVES}))\b"
    rf"|\s(?=without\b(?!(?: any)? {_MOVES}))"
)
_ACROSS: Final = 100  # what it costs to reach over an "and": more than any distance in a clause
_BACK: Final = 15  # a word of degree stands before what it grades rather than after it


def parse(text: str) -> dict[int, int]:
    """Return the AUs that a text says, ascending, each with its level 1-5.

    >>> parse("a hint of sadness with clearly lowered brows")
    {1: 1, 4: 3, 15: 1}
    >>> parse("strong anger, no frown, lips pressed together")
    {5: 4, 7: 4, 23: 4, 24: 3}
    >>> parse(ausynth.text.describe([1, 4], (6, 12), seed=3))
    {6: 1, 12: 4}

    An emotion stands for the AUs that its prototype requires; what is said of single AUs goes before it, later words
    before earlier ones. What is mentioned without a degree has level 3. "Extreme" is 5 here, as people mean it, and not
    level D as in the coding manual.

    Raises:
        ConfigurationError: the text mentions nothing that a face does.
    """
    plain = " ".join(text.lower().replace("\u2019", "'").split())
    said, rest = _exact(plain)
    heard = _Heard(known=bool(said) or rest != plain)
    for clause in _BREAKS.split(CODE.sub(_joined_codes, rest)):
        heard.clause(clause)
    if not heard.known:
        raise ConfigurationError(
            f"no facial action in {text!r}",
            expected="words such as 'a slight smile', 'brows clearly lowered', 'AU6+12', 'sadness', 'neutral'",
            do="say what the face does: ausynth.text.describe writes such texts",
        )
    levels = {**heard.felt, **heard.shown, **said}
    return {au: levels[au] for au in sorted(levels) if levels[au]}


def intensities_of(texts: Sequence[str], aus: str | Sequence[int]) -> Floats:
    """Return what texts say as (B, A) float32 label vectors over a label space, 0 for what they do not say.

    >>> intensities_of(["a slight smile", "neutral"], (6, 12)).tolist()
    [[0.0, 2.0], [0.0, 0.0]]

    Raises:
        ConfigurationError: a text says an AU that the label space lacks, or nothing at all.
    """
    space = facs.label_space(aus)
    intensity_BA = np.zeros((len(texts), len(space)), np.float32)
    for row, text in enumerate(texts):
        levels = parse(text)
        lacking = [str(facs.ACTION_UNITS[au]) for au in levels if au not in space]
        if lacking:
            raise ConfigurationError(
                f"{text!r} says {', '.join(lacking)}", expected=f"AUs of {space}", do="choose a label space with them"
            )
        for au, level in levels.items():
            intensity_BA[row, space.index(au)] = level
    return intensity_BA


def _exact(text: str) -> tuple[dict[int, int], str]:
    """Return the levels of what `describe` would have said, and the text without it."""
    bare, levels = skeleton(text)
    said: dict[int, int] = {}
    spans, end = [], 0
    for match in _sentences().finditer(bare):
        said |= zip(book().readings[match[0]], levels[bare.count(SLOT, 0, match.start()) :], strict=False)
        spans.append((end, match.start()))
        end = match.end()
    if not spans:
        return said, text
    return said, ".".join(_restored(bare, levels, start, stop) for start, stop in [*spans, (end, len(bare))])


def _restored(bare: str, levels: Sequence[int], start: int, stop: int) -> str:
    """Return a stretch of a skeleton with words of degree in their places."""
    own = iter(levels[bare.count(SLOT, 0, start) :])
    return re.sub(re.escape(SLOT), lambda _: book().degrees[next(own)][0], bare[start:stop])


@cache
def _sentences() -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{alternatives(book().readings)})(?!\w)")


@dataclass
class _Event:
    """Something that a clause says of the face: AUs, or an emotion."""

    aus: tuple[int, ...]
    start: int
    end: int
    emotion: bool = False
    level: int | None = None
    degrees: list[int] = field(default_factory=list)
    denied: bool = False


@dataclass
class _Heard:
    """What the clauses have said so far.

    Attributes:
        known: whether anything was understood.
        felt, shown: the levels of AUs by emotions, and by themselves; 0 where one is denied.
    """

    known: bool = False
    felt: dict[int, int] = field(default_factory=dict)
    shown: dict[int, int] = field(default_factory=dict)

    def clause(self, clause: str) -> None:
        events, clause = _codes(clause)
        mentions = find(clause)
        groups = _groups(mentions, clause)
        events += _motions(mentions, groups) + _words(mentions) + _emotions(mentions, clause)
        events.sort(key=lambda event: event.start)
        _deny(events, mentions)
        _grade(events, mentions)
        events += _still(mentions, groups)
        self.known |= bool(events) or any(mention.kind in ("neutral", "still") for mention in mentions)
        for event in events:
            level = event.level or min(event.degrees, default=UNGRADED)
            if event.emotion and not event.denied:
                self.felt |= {au: max(level, self.felt.get(au, 0)) for au in event.aus}
            elif not event.emotion:
                self.shown |= dict.fromkeys(event.aus, 0 if event.denied else level)


def _joined_codes(codes: re.Match[str]) -> str:
    """Return a list of AUs by number without the commas and words that would end a clause in it."""
    return "au" + "+".join(re.findall(r"\d+[a-e]?", codes[0]))


def _codes(clause: str) -> tuple[list[_Event], str]:
    """Return the AUs that are given by number, and the clause without them."""
    events = []
    for match in CODE.finditer(clause):
        for number, letter in re.findall(r"(\d+)([a-e]?)", match[0]):
            if int(number) not in facs.ACTION_UNITS:
                raise ConfigurationError(f"unknown AU {number} in {clause.strip()!r}", expected="an AU of FACS")
            level = "abcde".index(letter) + 1 if letter else None
            events.append(_Event((int(number),), match.start(), match.end(), level=level))
    return events, CODE.sub(lambda match: " " * len(match[0]), clause)


def _groups(mentions: Sequence[Mention], clause: str) -> list[list[Mention]]:
    """Return the parts of the face, those that share a motion ("brows and cheeks") together."""
    groups: list[list[Mention]] = []
    for part in (mention for mention in mentions if mention.kind == "region"):
        between = clause[groups[-1][-1].end : part.start] if groups else ""
        if groups and re.fullmatch(r"\s*(?:and|or|&)?(?: (?:the|both|her|his|their))?\s*", between) and between.strip():
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def _motions(mentions: Sequence[Mention], groups: Sequence[Sequence[Mention]]) -> list[_Event]:
    """Return what parts of the face do: each motion belongs to the nearest part that can make it."""
    events = []
    for motion in (mention for mention in mentions if mention.kind == "motion"):
        able = [group for group in groups if any(motion.value in rules()[part.value] for part in group)]
        if not able:
            continue
        group = min(able, key=lambda group: _distance(motion, group[0].start, group[-1].end, mentions))
        aus = [au for part in group for au in rules()[part.value].get(motion.value, ())]
        start, end = min(motion.start, group[0].start), max(motion.end, group[-1].end)
        for sign in (1, -1):
            own = tuple(dict.fromkeys(abs(au) for au in aus if au * sign > 0))
            if own:
                events.append(_Event(own, start, end, denied=sign < 0))
    return events


def _words(mentions: Sequence[Mention]) -> list[_Event]:
    """Return what single words and names of AUs say."""
    return [
        _Event(whole_aus(mention.value) if mention.kind == "whole" else mention.value, mention.start, mention.end)
        for mention in mentions
        if mention.kind in ("whole", "name")
    ]


def _emotions(mentions: Sequence[Mention], clause: str) -> list[_Event]:
    """Return the AUs of emotions; two side by side are a compound expression where there is one."""
    events: list[_Event] = []
    last: Mention | None = None
    for mention in (mention for mention in mentions if mention.kind == "emotion"):
        prototypes = {**facs.PROTOTYPES, **facs.COMPOUND_PROTOTYPES}
        both = compound(last.value, mention.value) if last and not clause[last.end : mention.start].strip() else None
        if both and last:
            events[-1] = _Event(prototypes[both].required, last.start, mention.end, emotion=True)
        else:
            events.append(_Event(prototypes[mention.value].required, mention.start, mention.end, emotion=True))
        last = mention
    return events


def _deny(events: Sequence[_Event], mentions: Sequence[Mention]) -> None:
    """Mark what follows a word of negation, up to an "and"."""
    joints = [mention.start for mention in mentions if mention.value == "and"]
    spans = [
        (no.start, min((joint for joint in joints if joint > no.start), default=10**9))
        for no in mentions
        if no.kind == "negation"
    ]
    for event in events:
        if any(start < event.end <= stop for start, stop in spans):
            event.denied = not event.denied


def _grade(events: Sequence[_Event], mentions: Sequence[Mention]) -> None:
    """Give each word of degree to what it grades: what it stands in, else what follows it, else what it follows."""
    for degree in (mention for mention in mentions if mention.kind == "degree"):
        if not events:
            return

        def cost(event: _Event, degree: Mention = degree) -> int:
            if event.start <= degree.start and degree.end <= event.end:
                return 0
            return _distance(degree, event.start, event.end, mentions) + (_BACK if event.end <= degree.start else 0)

        least = min(map(cost, events))
        for event in events:
            if cost(event) == least:
                event.degrees.append(degree.value)


def _still(mentions: Sequence[Mention], groups: Sequence[Sequence[Mention]]) -> list[_Event]:
    """Return what is denied of parts of the face that are said not to move."""
    events = []
    for word in (mention for mention in mentions if mention.kind == "still"):
        if groups:
            group = min(groups, key=lambda group: _distance(word, group[0].start, group[-1].end, mentions))
            events += [_Event(still_aus(part.value), word.start, word.end, denied=True) for part in group]
    return events


def _distance(mention: Mention, start: int, end: int, mentions: Sequence[Mention]) -> int:
    """Return how far a mention is from the stretch from `start` to `end`, in letters; an "and" between counts much."""
    low, high = min(mention.end, end), max(mention.start, start)
    crossed = sum(joint.kind == "joint" and low <= joint.start < high for joint in mentions)
    return max(high - low, 0) + _ACROSS * crossed
