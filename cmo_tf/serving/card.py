"""MODEL_CARD.md: what a model is, what it was trained and tested on, how good it is, and where it must not be trusted.

After Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019); made from results.json alone.
"""

from cmo_tf.config import Config
from cmo_tf.long_tail import GROUPS
from cmo_tf.report.report_md import escape, table

FILE = "MODEL_CARD.md"
SMALL_TEST = 30


def text(served, about: dict) -> str:
    """The card of a model.Served and its export.json."""
    parts = [f"# Model card: {escape(about['run'])}", _what(served, about), "## Data", _data(served), "## Accuracy",
             _accuracy(served), "## Calibration", _calibration(served), "## Files", _files(about), "## Limits",
             _limits(served, about), "## Flags", _flags(served), "## Versions",
             "\n".join(f"- {name} {escape(version)}" for name, version in about["versions"].items())]
    return "\n\n".join(parts) + "\n"


def _what(served, about):
    height, width, channels = served.image_shape
    config, results = served.config, served.results
    mixing = "without mixing" if config.mix == "none" else f"with --mix={config.mix}"
    return (f"Classifies images into {len(served.class_names)} classes: {escape(config.model)}, method "
            f"{escape(config.method)}, loss {config.loss}, {mixing}, trained for {results['epochs']} epochs with seed "
            f"{results['seed']}.\n\n"
            f"- input `image`: float32 (batch, {height}, {width}, {channels}), raw pixels from 0 to 255"
            f"{', red, green, blue' if channels == 3 else ''}; normalisation is inside. {_reading(about)}\n"
            "- output `logits`: float32 (batch, classes), as the network gives them\n"
            f"- output `probabilities`: `softmax({about['logit_scale']:g} * logits + offset)`, offset by "
            f"--test_prior={escape(config.test_prior)}\n"
            "- the names of the classes, in the order of the outputs, are in classes.json and in each file")


def _reading(about):
    square, crop, bits = (about["reading"][key] for key in ("centre_square_resized_to", "centre_crop",
                                                            "bits_of_16_bit_pictures"))
    text = f"A picture is cropped to its central square, which is resized to {square} by {square} (bilinear)"
    text += "." if square == crop else f" and cropped to the central {crop} by {crop}."
    return text + (f" Pictures of 16 bits a channel hold {bits} bits, of which the upper 8 are taken." * (bits < 16))


def _data(served):
    config, results = served.config, served.results
    counts = results["class_counts"]
    tested = sum(row["test_count"] for row in results["per_class"])
    groups = "; ".join(f"{name} {results['groups'][name]['classes']}" for name in GROUPS)
    return (f"- set: {escape(config.dataset)}, {sum(counts)} training images, {tested} test images\n"
            f"- largest class {max(counts)} images, smallest {min(counts)}\n"
            f"- classes by group: {groups} (many: more than {config.many_above} training images, few: fewer than "
            f"{config.few_below})\n- fingerprint of the split: {results['split_fingerprint']}")


def _accuracy(served):
    results = served.results
    rows = [[name, _percent(results["accuracy"][name]), _percent(best)] for name, best in
            ((name, (results.get("best") or {"accuracy": {}})["accuracy"].get(name)) for name in ("all", *GROUPS))]
    best = results.get("best")
    note = f"\n\nBest: epoch {best['epoch']}, chosen on the {best['split']} images." if best else ""
    if best and best["split"] == "test":
        note += " A choice on test images flatters; the first column is the figure to quote."
    worst = sorted((row for row in results["per_class"] if row["accuracy"] is not None),
                   key=lambda row: (row["accuracy"], row["class"]))[:10]
    weakest = table(["class", "training images", "test images", "accuracy"],
                  [[row["name"], row["train_count"], row["test_count"], _percent(row["accuracy"])] for row in worst],
                  (1, 2, 3))
    groups = table(["classes", "this model", "best epoch"], rows, (1, 2))
    return f"Percent of test images, each class counting alike.\n\n{groups}{note}\n\nThe weakest classes:\n\n{weakest}"


def _calibration(served):
    results = served.results
    over = "; ".join(f"{name} {value:+.3f}" for name, value in results["overconfidence"].items() if value is not None)
    return (f"On the test images: expected calibration error {_number(results['ece'])}, largest error of a bin "
            f"{_number(results['mce'])}. Mean confidence minus accuracy: {over}. (Figures of the run, with its own "
            f"--test_prior.){_temperature(served)}")


def _temperature(served):
    found = served.results.get("calibration")
    if served.config.calibrate == "none" or not found:
        return ""
    if found["temperature"] is None:
        return "\n\nNo temperature fitted the validation images; confidences are those of the network."
    return (f"\n\nConfidences are calibrated: logits are divided by the temperature {found['temperature']:.4f}, fitted "
            f"on {found['images']} validation images, which is part of the scale above. Expected calibration error on "
            f"the test images before: {_number(found['test']['before']['ece'])}.")


def _files(about):
    rows = [[name, entry["file"], f"{entry['bytes'] / 2**20:.2f} MiB", f"{entry['check']['max_difference_logits']:.2g}",
             f"{entry['check']['same_class']} of {entry['check']['images']}"]
            for name, entry in about["formats"].items()]
    return "Compared with the Keras model on test images:\n\n" + \
        table(["format", "file", "size", "largest difference in logits", "same class"], rows, (2, 3, 4))


def _limits(served, about):
    results, config = served.results, served.config
    rare = [row["name"] for row in results["per_class"] if row["group"] == "few"]
    unsure = sum(row["test_count"] < SMALL_TEST for row in results["per_class"])
    lines = ["Every picture gets one of the classes above, also one that shows none of them."]
    if rare:
        shown = ", ".join(map(escape, rare[:12])) + (f" and {len(rare) - 12} more" if len(rare) > 12 else "")
        lines.append(f"Few-shot classes ({shown}) were learnt from fewer than {config.few_below} images each: check "
                     "their predictions by eye.")
    if unsure:
        lines.append(f"{unsure} classes have fewer than {SMALL_TEST} test images; their accuracies are rough.")
    if config.precision != "float32":
        lines.append(f"Trained in {config.precision}; the exported files compute in float32 with the same weights.")
    if any(name.endswith("int8") for name in about["formats"]):
        lines.append("The int8 file rounds; its agreement with the Keras model is in the table above.")
    lines.append("Pictures from other cameras, places or times than the training set's may be read worse than the "
                 "figures say; fairness between groups of people was not examined.")
    return "\n".join(f"- {line}" for line in lines)


def _flags(served):
    default = Config()
    changed = [flag for flag in served.config.arguments() if flag not in default.arguments()]
    return "```\n" + "\n".join(flag.replace("```", "'''") for flag in changed) + "\n```"


def _percent(value):
    return "n/a" if value is None else f"{value:.2f}"


def _number(value):
    return "n/a" if value is None else f"{value:.3f}"
