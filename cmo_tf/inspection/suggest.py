"""Flags for a set of pictures, each with its reason. Rules of thumb; the sizes that fit the time are measured."""

from dataclasses import dataclass, field

import numpy as np

from cmo_tf.long_tail import shot_groups

SIDES = (32, 48, 64, 96, 128, 160, 224)
BUDGET = {"CPU": 10 * 60, "GPU": 60 * 60}  # seconds of training to aim at
FEWEST, MOST = 30, 200  # epochs


@dataclass
class Facts:
    """What suggestions rest on. `counts` are those of the training images, `side` the median of the shorter sides,
    `fixed` whether images come in one size in memory, `bad` pictures that cannot be read, of `total`."""

    dataset: str
    counts: np.ndarray
    side: int
    fixed: bool = False
    bad: int = 0
    total: int = 0
    device: str = "CPU"
    given: dict = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Training images."""
        return int(self.counts.sum())

    @property
    def ratio(self) -> float:
        """Largest over smallest class; an empty class counts as one image."""
        return float(self.counts.max() / max(self.counts.min(), 1))


def sides(facts) -> list[int]:
    """Image sizes worth trying, the largest first: not above the pictures' own, on a CPU not above 64."""
    top = min(facts.side, 224 if facts.device == "GPU" else 64)
    return [side for side in reversed(SIDES) if side <= top] or [SIDES[0]]


def network(facts, side: int) -> tuple[str, str]:
    """(--model, reason) for an image size."""
    if side <= 48:
        if facts.images < 5000 or facts.device == "CPU":
            return "resnet20", f"a small network for {side} x {side} pixels; {facts.images:,} images train no large one"
        return "resnet32", f"the published network for small pictures, {facts.images:,} images"
    if facts.device == "GPU" and side >= 128 and facts.images >= 10_000:
        return "resnet50", f"{facts.images:,} images of {side} x {side} pixels on a GPU"
    return "resnet10", f"the smallest network for pictures of {side} x {side} pixels; {facts.images:,} images train " \
        "no large one from nothing"


def batch(facts) -> tuple[int, str]:
    """(--batch_size, reason)."""
    size = next((size for size in (128, 64, 32, 16) if facts.images / size >= 20), 8)
    return size, f"about {-(-facts.images // size)} steps an epoch; larger batches would leave fewer than 20"


def epochs(seconds_an_epoch: float, device: str) -> int:
    """As many as the time allows, between FEWEST and MOST, in tens."""
    fitting = int(BUDGET[device] / max(seconds_an_epoch, 1e-9)) // 10 * 10
    return min(max(fitting, FEWEST), MOST)


def flags(facts, side: int, seconds_an_epoch: float) -> list[tuple[str, object, str]]:
    """(flag, value, reason) of all suggestions."""
    size, size_reason = batch(facts)
    model, model_reason = network(facts, side)
    count = epochs(seconds_an_epoch, facts.device)
    minutes = BUDGET[facts.device] // 60
    found = [("dataset", facts.dataset, "the set that was looked at")]
    found += [(name, value, "as given") for name, value in facts.given.items()]
    if not facts.fixed:
        found.append(("image_size", side, f"the shorter side of half the pictures is above {facts.side} pixels; the "
                      f"largest size that trains {FEWEST} epochs in about {minutes} minutes here"
                      if facts.side >= side else f"most pictures are smaller ({facts.side} pixels), this is the least"))
    found += [
        ("model", model, model_reason),
        ("batch_size", size, size_reason),
        ("lr", 0.1 * size / 128, "0.1 at a batch of 128, in proportion"),
        ("epochs", count, f"what fits into about {minutes} minutes, between {FEWEST} and {MOST}; the published recipes "
         "have 200"),
        *_method(facts),
        ("eval_every", max(count // 20, 1), "about 20 evaluations in a run"),
        *_validation(facts),
        *groups(facts), *bad_pictures(facts),
    ]
    return found


def bad_pictures(facts):
    """What to do about pictures that cannot be read."""
    if not facts.bad:
        return []
    cap = facts.bad + max(facts.bad // 10, 1)
    return [("bad_images", "skip", f"{facts.bad} of {facts.total} pictures cannot be read"),
            ("max_bad", cap, "a few more than today; a folder that breaks down is noticed")]


def _method(facts):
    if facts.ratio < 3:
        return [("method", "ce", f"the largest class has {facts.ratio:.1f} times the images of the smallest: balanced "
                 "enough for plain cross-entropy (--loss=ce)"),
                ("mix", "cutmix", "patches between all classes alike; there is no tail to feed")]
    return [("method", "bs", f"the largest class has {facts.ratio:.0f} times the images of the smallest: Balanced "
             "Softmax (--loss=bs), the best of the simple losses with CMO in the paper"),
            ("mix", "cmo", "patches of rare classes on pictures of common ones")]


def _validation(facts):
    least = int(facts.counts.min())
    if least >= 20 and facts.images >= 1000:
        return [("val_fraction", 0.1, f"the smallest class has {least} images and can give some; the epoch is "
                 "chosen on them"), ("keep", "best", "the epoch that is best on the validation images")]
    return [("val_fraction", 0.0, f"the smallest class has {least} training images: they are needed for training")]


def groups(facts):
    """Thresholds of the shot groups: the usual ones where they part the classes, else thirds."""
    usual = shot_groups(facts.counts)
    if all(len(rows) for rows in usual.values()) or len(facts.counts) < 3 or facts.ratio < 3:
        return [("many_above", 100, "the usual threshold"), ("few_below", 20, "the usual threshold")]
    ordered = np.sort(facts.counts)
    third = len(ordered) // 3
    few, many = int(ordered[third]), int(ordered[-third - 1])
    reason = "with the usual 100 and 20 a group would be empty: about a third of the classes in each"
    return [("many_above", max(many, few - 1), reason), ("few_below", few, reason)]
