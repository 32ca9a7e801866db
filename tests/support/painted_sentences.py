"""Sentences about a painted scene, each with the objects that it means, worked out from pixels.

Only sentences on which two careful people would agree are kept: no size, distance or place lies at
the limit that the sentence draws.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from painted_truth import GSD_M, Flags, Truth, Values

from rrsis_geo.text.vocabulary import pluralize

COUNTS = {1: "", 2: "two ", 3: "three ", 4: "4 "}
ORDINALS = {1: "", 2: "second ", 3: "third ", 4: "4th "}
SIZES = {
    "largest": ("area", True), "biggest": ("area", True), "smallest": ("area", False),
    "longest": ("length", True), "shortest": ("length", False), "widest": ("width", True),
}  # fmt: skip
MOSTS = {
    "northernmost": (0, -1), "topmost": (0, -1), "southernmost": (0, 1), "bottommost": (0, 1),
    "easternmost": (1, 1), "rightmost": (1, 1), "westernmost": (1, -1), "leftmost": (1, -1),
}  # fmt: skip
"""Word -> axis of (row, col), and the sign of its direction."""
FROM = {"left": (1, -1), "right": (1, 1), "top": (0, -1), "bottom": (0, 1)}
SIDES = {
    "north of": (0, -1), "above": (0, -1), "south of": (0, 1), "below": (0, 1),
    "to the left of": (1, -1), "west of": (1, -1), "to the right of": (1, 1), "east of": (1, 1),
}  # fmt: skip
REGIONS = {
    "in the northern half": (slice(0, 0.5), slice(0, 1)),
    "in the lower part of the image": (slice(0.5, 1), slice(0, 1)),
    "on the left": (slice(0, 1), slice(0, 0.5)),
    "in the north-east": (slice(0, 0.5), slice(0.5, 1)),
    "in the bottom left corner": (slice(0.6, 1), slice(0, 0.4)),
    "in the upper right corner": (slice(0, 0.4), slice(0.6, 1)),
    "at the western edge": (slice(0, 1), slice(0, 0.1)),
    "at the bottom edge": (slice(0.9, 1), slice(0, 1)),
    "in the eastern third": (slice(0, 1), slice(2 / 3, 1)),
    "in the centre of the scene": (slice(1 / 3, 2 / 3), slice(1 / 3, 2 / 3)),
    "in the south-western quarter": (slice(0.5, 1), slice(0, 0.5)),
    "in the top third": (slice(0, 1 / 3), slice(0, 1)),
}
"""Words -> shares of the height and of the width."""
UNITS = {"m": 1.0, "metres": 1.0, "feet": 0.3048, "yards": 0.9144}
AREAS = {"m2": 1.0, "square metres": 1.0, "sq ft": 0.09290304, "square yards": 0.83612736}
COMPARATIVES = {
    "area": ("larger", "smaller"), "length": ("longer", "shorter"), "width": ("wider", "narrower")
}  # fmt: skip
ROUNDED = {"twenty": 20, "thirty": 30, "fifty": 50, "a hundred": 100, "two hundred": 200}

MARGIN_M = 1.0
"""Distances that differ by less are not told apart: pixels are squares, and outlines have none."""


class Noun(NamedTuple):
    """A noun phrase without rules, and its objects."""

    one: str
    many: str
    flags: Flags


class Sentence(NamedTuple):
    """A sentence of a kind, and the objects [N] that it means."""

    kind: str
    text: str
    flags: Flags


class Writer:
    """Draws sentences about one scene."""

    def __init__(self, truth: Truth, rng: np.random.Generator) -> None:
        self.truth = truth
        self.rng = rng
        kinds = sorted(set(truth.category.tolist()))
        self.many = [name for name in kinds if truth.are(name).sum() >= 4]
        self.landmarks = [name for name in kinds if 1 <= truth.are(name).sum() <= 12]

    def write(self, kind: str) -> Sentence | None:
        """A sentence of a kind; None where this draw has no clear answer."""
        draws: dict[str, Callable[[], tuple[str, Flags] | None]] = {
            "target": self.target, "superlative": self.superlative, "ordinal, count": self.ordinal,
            "extreme of place": self.extreme, "region": self.region, "side": self.side,
            "distance": self.distance, "closest": self.closest, "geometry": self.geometry,
            "measure": self.measure, "group": self.group, "negation": self.negation,
            "alternative": self.alternative, "composition": self.composition,
        }  # fmt: skip
        drawn = draws[kind]()
        if drawn is None or not drawn[1].any():
            return None
        return Sentence(kind, *drawn)

    # --- noun phrases

    def pick(self, values: dict[str, object] | list[str]) -> str:
        names = list(values)
        return names[int(self.rng.integers(len(names)))]

    def noun(self, *, colour: bool | None = None) -> Noun:
        """Objects of which there are several."""
        category = self.pick(self.many)
        here = self.truth.are(category)
        colours = sorted({each for each in self.truth.colour[here].tolist() if each})
        if colours and (self.rng.random() < 0.4 if colour is None else colour):
            adjective = self.pick(colours)
            flags = self.truth.are(category, adjective)
            return Noun(f"{adjective} {category}", f"{adjective} {pluralize(category)}", flags)
        return Noun(category, pluralize(category), here)

    def landmark(self, but: Noun) -> Noun | None:
        """Objects of another category, of which there are few."""
        names = [name for name in self.landmarks if not but.one.endswith(name)]
        if not names:
            return None
        name = self.pick(names)
        return Noun(name, pluralize(name), self.truth.are(name))

    # --- rules

    def first(
        self, flags: Flags, keys: Values, start: int, count: int, margin: float
    ) -> Flags | None:
        """The objects with the smallest keys; None where the limit is not clear."""
        order = np.flatnonzero(flags)[np.argsort(keys[flags], kind="stable")]
        if len(order) < start + count:
            return None
        for limit in (start, start + count):
            if 0 < limit < len(order) and keys[order[limit]] - keys[order[limit - 1]] < margin:
                return None
        return self.of(order[start : start + count])

    def of(self, index: np.ndarray[tuple[int], np.dtype[np.int_]]) -> Flags:
        found = np.zeros(len(self.truth), bool)
        found[index] = True
        return found

    def size_keys(self, word: str) -> Values:
        """Logarithms of a size, so that a margin is a ratio; the first has the smallest key."""
        measure, descending = SIZES[word]
        truth = self.truth
        values = {
            "area": truth.area_m2, "length": truth.sides_m[:, 0], "width": truth.sides_m[:, 1]
        }[measure]  # fmt: skip
        return -np.log(values) if descending else np.log(values)

    def in_region(self, words: str, flags: Flags) -> Flags | None:
        """The objects in a region; None where one lies at its limit.

        What reaches an edge is at the edge; what has its centroid in another part is in that.
        """
        found = flags.copy()
        for axis, part in enumerate(REGIONS[words]):
            share = self.truth.share[:, axis]
            if "edge" in words:
                share = self.truth.reach[:, 0 if part.stop < 1 else 1, axis]
            for limit in (part.start, part.stop):
                if 0 < limit < 1 and (np.abs(share - limit)[flags] < 0.003).any():
                    return None
            found &= (share >= part.start) & (share <= part.stop)
        return found

    def near(self, flags: Flags, landmarks: Flags, limit_m: float) -> Flags | None:
        """The objects within a distance; None where one lies at its limit."""
        distance = self.truth.distance_m(landmarks, flags)
        if (np.abs(distance - limit_m)[flags] < MARGIN_M).any():
            return None
        return flags & (distance < limit_m)

    # --- sentences

    def target(self) -> tuple[str, Flags] | None:
        noun = self.noun()
        surfaces = sorted({each for each in self.truth.surface[noun.flags].tolist() if each})
        surfaces = [each for each in surfaces if each in ("road", "parking lot")]
        start = self.pick(["the ", "all ", "", "show me the ", "find all "])
        if surfaces and self.rng.random() < 0.5:
            surface = self.pick(surfaces)
            flags = noun.flags & (self.truth.surface == surface)
            return f"{start}{noun.many} on the {surface}", flags
        return start + noun.many, noun.flags

    def superlative(self) -> tuple[str, Flags] | None:
        noun, word = self.noun(), self.pick(list(SIZES))
        flags = self.first(noun.flags, self.size_keys(word), 0, 1, 0.02)
        return None if flags is None else (f"the {word} {noun.one}", flags)

    def ordinal(self) -> tuple[str, Flags] | None:
        noun, word = self.noun(), self.pick(list(SIZES))
        if self.rng.random() < 0.5:
            start, count = int(self.rng.integers(1, 4)), 1
            text = f"the {ORDINALS[start + 1]}{word} {noun.one}"
        else:
            start, count = 0, int(self.rng.integers(2, 5))
            text = f"the {COUNTS[count]}{word} {noun.many}"
        flags = self.first(noun.flags, self.size_keys(word), start, count, 0.02)
        return None if flags is None else (text, flags)

    def extreme(self) -> tuple[str, Flags] | None:
        noun, form = self.noun(), int(self.rng.integers(4))
        start, count = 0, 1
        if form == 0:
            word = self.pick(list(MOSTS))
            (axis, sign), count = MOSTS[word], int(self.rng.integers(1, 4))
            name = noun.many if count > 1 else noun.one
            text = f"the {COUNTS[count]}{word} {name}"
        elif form == 1:
            word = self.pick(list(FROM))
            (axis, sign), start = FROM[word], int(self.rng.integers(1, 4))
            text = f"the {ORDINALS[start + 1]}{noun.one} from the {word}"
        else:
            words = {"centre of the image": (0.5, 0.5), "north-east corner": (0.0, 1.0)}
            words |= {"lower left corner": (1.0, 0.0)}
            word = self.pick(list(words))
            point = np.array(words[word]) * self.truth.shape
            keys = np.hypot(*(self.truth.centre - point).T)
            keys = keys if form == 2 else -keys
            text = f"the {noun.one} {'closest to' if form == 2 else 'farthest from'} the {word}"
            flags = self.first(noun.flags, keys, 0, 1, 1.0)
            return None if flags is None else (text, flags)
        flags = self.first(noun.flags, -sign * self.truth.centre[:, axis], start, count, 0.6)
        return None if flags is None else (text, flags)

    def region(self) -> tuple[str, Flags] | None:
        noun, words = self.noun(), self.pick(list(REGIONS))
        flags = self.in_region(words, noun.flags)
        return (
            None
            if flags is None
            else (f"{self.pick(['the ', 'all ', ''])}{noun.many} {words}", flags)
        )

    def side(self) -> tuple[str, Flags] | None:
        noun, words = self.noun(), self.pick(list(SIDES))
        landmark = self.landmark(noun)
        if landmark is None:
            return None
        steps = self.truth.steps_from(landmark.flags)
        axis, sign = SIDES[words]
        angle = np.degrees(np.arctan2(np.abs(steps[:, 1 - axis]), sign * steps[:, axis]))
        on = self.truth.share_on(landmark.flags)
        if self.rng.random() < 0.7 and (on[noun.flags] < 0.5).all():
            return None  # most have none on the landmark, and those that do are harder
        near = np.hypot(*steps.T) < 8
        is_unclear = (np.abs(angle - 45) < 6) | near
        if (noun.flags & (((on < 0.6) & is_unclear) | (np.abs(on - 0.5) < 0.1))).any():
            return None
        flags = noun.flags & (angle < 45) & (on < 0.5)
        return f"{noun.many} {words} the {landmark.one}", flags

    def distance(self) -> tuple[str, Flags] | None:
        noun = self.noun()
        landmark = self.landmark(noun)
        if landmark is None:
            return None
        if self.rng.random() < 0.3:
            number = self.pick(list(ROUNDED))
            unit, limit_m = "metres", float(ROUNDED[number])
        else:
            unit = self.pick(list(UNITS))
            number = str(int(self.rng.integers(2, 30)) * 5)
            limit_m = int(number) * UNITS[unit]
        within = self.near(noun.flags, landmark.flags, limit_m)
        if within is None:
            return None
        if self.rng.random() < 0.6:
            words = self.pick(["within {} of", "less than {} from", "closer than {} to"])
        else:
            words = self.pick(["more than {} from", "at least {} away from", "not within {} of"])
            within = noun.flags & ~within
        return f"{noun.many} {words.format(f'{number} {unit}')} the {landmark.one}", within

    def closest(self) -> tuple[str, Flags] | None:
        noun = self.noun()
        landmark = self.landmark(noun)
        if landmark is None:
            return None
        count, word = int(self.rng.integers(1, 4)), self.pick(["closest to", "farthest from"])
        distance = self.truth.distance_m(landmark.flags, noun.flags)
        keys = distance if word == "closest to" else -distance
        flags = self.first(noun.flags, keys, 0, count, MARGIN_M)
        name = noun.many if count > 1 else noun.one
        return (
            None
            if flags is None
            else (f"the {COUNTS[count]}{name} {word} the {landmark.one}", flags)
        )

    def geometry(self) -> tuple[str, Flags] | None:
        noun = self.noun()
        landmark = self.landmark(noun)
        if landmark is None:
            return None
        word = self.pick(["along", "around", "inside", "outside", "next to the largest", "between"])
        if word == "between":
            return self.between(noun, landmark)
        if word.startswith("next"):
            largest = self.first(landmark.flags, self.size_keys("largest"), 0, 1, 0.02)
            flags = None if largest is None else self.near(noun.flags, largest, 10)
            return None if flags is None else (f"{noun.many} {word} {landmark.one}", flags)
        share = self.truth.share_inside(landmark.flags)
        if (noun.flags & (share > 0.45) & (share < 0.55)).any():
            return None
        near = self.near(noun.flags, landmark.flags, {"along": 15, "around": 30}.get(word, 1e6))
        if near is None:
            return None
        inside = {"along": True, "inside": share > 0.5}.get(word, share < 0.5)
        return f"{noun.many} {word} the {landmark.one}", near & inside

    def between(self, noun: Noun, landmark: Noun) -> tuple[str, Flags] | None:
        other = self.landmark(landmark)
        if other is None or noun.one.endswith(other.one):
            return None
        angle = self.truth.angle_between(landmark.flags, other.flags)
        if (noun.flags & (np.abs(angle - 120) < 6)).any():
            return None
        near = self.truth.distance_m(landmark.flags | other.flags, noun.flags)
        if (near[noun.flags] < MARGIN_M).any():
            return None
        text = f"{noun.many} between the {landmark.one} and the {other.one}"
        return text, noun.flags & (angle > 120)

    def measure(self) -> tuple[str, Flags] | None:
        noun, form = self.noun(), self.pick(["area", "length", "width"])
        units = AREAS if form == "area" else UNITS
        unit = self.pick(list(units))
        truth = self.truth
        values = {
            "area": truth.area_m2, "length": truth.sides_m[:, 0], "width": truth.sides_m[:, 1]
        }[form]  # fmt: skip
        middle = float(np.quantile(values[noun.flags], self.rng.uniform(0.2, 0.8))) / units[unit]
        low = float(f"{middle:.2g}")
        high = float(f"{middle * 1.8:.2g}")
        for limit in (low, high):
            ratio = np.abs(np.log(values[noun.flags] / (limit * units[unit])))
            if (ratio < 0.01).any():
                return None
        is_above = values > low * units[unit]
        if self.rng.random() < 0.3:
            flags = noun.flags & is_above & (values < high * units[unit])
            ending = "" if form == "area" else {"length": " long", "width": " wide"}[form]
            return f"{noun.many} between {low:g} and {high:g} {unit}{ending}", flags
        more, less = COMPARATIVES[form]
        if self.rng.random() < 0.5:
            return f"{noun.many} {more} than {low:g} {unit}", noun.flags & is_above
        return f"{noun.many} that are {less} than {low:g} {unit}", noun.flags & ~is_above

    def group(self) -> tuple[str, Flags] | None:
        noun = self.noun()
        centres = self.truth.centre[noun.flags] * GSD_M
        steps = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
        np.fill_diagonal(steps, np.inf)
        ratio = steps.min(1, initial=np.inf) / self.truth.sides_m[noun.flags, 0]
        if (np.abs(ratio / 3 - 1) < 0.02).any():
            return None
        flags = noun.flags.copy()
        if self.rng.random() < 0.5:
            flags[noun.flags] = ratio > 3
            return self.pick([f"isolated {noun.many}", f"the {noun.many} that are isolated"]), flags
        flags[noun.flags] = ratio < 3
        return self.pick([f"groups of {noun.many}", f"{noun.many} in clusters"]), flags

    def negation(self) -> tuple[str, Flags] | None:
        category = self.pick(self.many)
        here, many = self.truth.are(category), pluralize(category)
        colours = sorted({each for each in self.truth.colour[here].tolist() if each})
        form = int(self.rng.integers(4))
        if form == 0:
            words = self.pick(list(REGIONS))
            region = self.in_region(words, here)
            return None if region is None else (f"all {many} except those {words}", here & ~region)
        if form == 1:
            largest = self.first(here, self.size_keys("largest"), 0, 2, 0.02)
            return None if largest is None else (f"all {many} but the two largest", here & ~largest)
        if not colours:
            return None
        colour = self.pick(colours)
        rest = here & (self.truth.colour != colour)
        if form == 2:
            words = self.pick(["that are not {}", "except the {} ones", "which aren't {}"])
            return f"{many} {words.format(colour)}", rest
        flags = self.first(rest, self.size_keys("largest"), 0, 1, 0.02)
        return None if flags is None else (f"the largest {category} that is not {colour}", flags)

    def alternative(self) -> tuple[str, Flags] | None:
        first, second = self.noun(), self.noun()
        if (first.flags & second.flags).any():
            return None
        both = first.flags | second.flags
        form = int(self.rng.integers(4))
        if form == 0:
            return f"{first.many} {self.pick(['or', 'and'])} {second.many}", both
        if form == 1:
            words = self.pick(list(REGIONS))
            flags = self.in_region(words, both)
            return None if flags is None else (f"{first.many} or {second.many} {words}", flags)
        if form == 2:
            flags = self.first(both, self.size_keys("largest"), 0, 1, 0.02)
            return None if flags is None else (f"the largest {first.one} or {second.one}", flags)
        sizes = self.size_keys("smallest")
        one, other = (self.first(each.flags, sizes, 0, 1, 0.02) for each in (first, second))
        if one is None or other is None:
            return None
        return f"the smallest {first.one} and the smallest {second.one}", one | other

    def composition(self) -> tuple[str, Flags] | None:
        noun, words = self.noun(), self.pick(list(REGIONS))
        landmark = self.landmark(noun)
        inside = self.in_region(words, noun.flags)
        if landmark is None or inside is None:
            return None
        limit_m = 10 * int(self.rng.integers(2, 12))
        near = self.near(inside, landmark.flags, limit_m)
        count, size = int(self.rng.integers(1, 4)), self.pick(list(SIZES))
        if near is None:
            return None
        flags = self.first(near, self.size_keys(size), 0, count, 0.02)
        name = noun.many if count > 1 else noun.one
        distance = f"within {limit_m} m of the {landmark.one}"
        text = self.pick(
            [f"{distance} {words}", f"{words} within {limit_m} m of the {landmark.one}"]
        )
        if " edge" in text.split(distance)[0] and not text.startswith(distance):
            return None
        return None if flags is None else (f"the {COUNTS[count]}{size} {name} {text}", flags)


def write_sentences(
    truths: list[Truth], wanted: dict[str, int], seed: int
) -> Iterator[tuple[Truth, Sentence]]:
    """Sentences of each kind, each text of a scene once, the scenes in turn."""
    seen = set()
    for kind, n in wanted.items():
        rng = np.random.default_rng([seed, *kind.encode()])
        writers = [Writer(truth, rng) for truth in truths]
        found = turn = 0
        while found < n:
            index = turn % len(writers)
            turn += 1
            sentence = writers[index].write(kind)
            if sentence is not None and (index, sentence.text) not in seen:
                seen.add((index, sentence.text))
                found += 1
                yield writers[index].truth, sentence
