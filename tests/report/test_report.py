import re
import subprocess
import sys
import xml.etree.ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib import image

from cmo_tf.core.errors import UserError
from cmo_tf.evaluation.metrics import Predictions
from cmo_tf.long_tail import class_counts, shot_groups
from cmo_tf.report import class_plots, plots, results
from cmo_tf.report.report import write_report

HOSTILE = '<script>alert("x")</script>|\n$\\frac{=1 \'& --> ' + "\udcff"
VOID = {"meta", "img", "br", "hr", "link", "input", "source"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that every tag is closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def make_run(folder, num_classes=10, names=None, panel=False, history=True, tested=None, extra=()):
    """A run folder with predictions of a known error rate."""
    rng = np.random.default_rng(num_classes)
    labels = rng.integers(0, tested or num_classes, 40 * num_classes)
    predicted = np.where(rng.random(len(labels)) < 0.7, labels, rng.integers(0, num_classes, len(labels)))
    predictions = Predictions(labels, predicted, rng.uniform(0.2, 1.0, len(labels)))
    counts = class_counts(num_classes, 300, 100)
    names = names or [f"class {k}" for k in range(num_classes)]
    evaluated = results.evaluate(predictions, counts, names, shot_groups(counts))
    run = {"best": {"accuracy": 71.5, "epoch": 2, "split": "test"}, "epochs": 3, "steps": 42, "seed": 5,
           "resumed_from_steps": [7, 21], "split_fingerprint": "c0ffee", "images_per_second": 1234.5, "seconds": 75.2,
           "peak_rss_bytes": 2**30, "flags": {"dataset": "digits", "few_below": 20}, "versions": {"keras": "3.15.1"}}
    results.write_results(folder, evaluated | run | dict(extra))
    results.write_predictions(folder, predictions)
    if history:
        rows = [{"epoch": e, "loss": 2.0 / e, "lr": 0.1, "all": 20.0 * e, "few": None} for e in (1, 2, 3)]
        results.write_history(folder, rows)
    if panel:
        image.imsave(folder / "panel.png", rng.random((6, 9)))
    return evaluated


def written(folder):
    html, markdown = write_report(folder)
    return html.read_text(encoding="utf-8"), markdown.read_text(encoding="utf-8")


def test_report_shows_what_results_json_says(tmp_path):
    evaluated = make_run(tmp_path, panel=True)
    html, markdown = written(tmp_path)
    page = Page(html)
    for text in (page.text, markdown):
        for name in ("all", "many", "medium", "few"):
            assert f"{evaluated['accuracy'][name]:.2f}" in text
        for said in (f"{100 * evaluated['ece']:.2f}", "71.50", "what most papers report", "c0ffee", "7, 21",
                     "1 min 15 s", "1,024 MiB", "few_below", "3.15.1", "class 9"):
            assert said in text
    assert page.tags.count("svg") == 8
    assert page.tags.count("img") == 1
    assert "prefers-color-scheme: dark" in html and "@media print" in html


def test_report_is_one_file_without_outside_references(tmp_path):
    make_run(tmp_path, num_classes=100, panel=True)
    html, _ = written(tmp_path)
    page = Page(html)
    references = [value for name, value in page.attributes if name in ("src", "href", "xlink:href", "srcset", "data")]
    assert references and all(value.startswith(("data:image/png;base64,", "#")) for value in references)
    outside = re.sub(r"base64,[A-Za-z0-9+/=\s]+", "", html)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", outside)
    assert not {"script", "link", "iframe"} & set(page.tags)


def test_ids_of_the_drawings_do_not_clash(tmp_path):
    make_run(tmp_path)
    ids = [value for name, value in Page(written(tmp_path)[0]).attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_hostile_names_and_flags_are_only_text(tmp_path):
    names = [HOSTILE, "猫 ネコ", "$x$", "", *(f"c{k}" for k in range(6))]
    make_run(tmp_path, names=names, extra={"flags": {HOSTILE: HOSTILE}, "versions": {"a|b": None}})
    html, markdown = written(tmp_path)
    page = Page(html)
    assert "script" not in page.tags
    assert '<script>alert("x")</script>|' in page.text
    assert "猫 ネコ" in page.text and "$x$" in page.text
    assert "<script" not in markdown
    for block in markdown.split("\n\n"):
        if block.startswith("|"):
            columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(columns) == 1, block


@pytest.mark.parametrize("num_classes", [1, 2, 21, 60, 100, 400])
def test_any_number_of_classes(tmp_path, num_classes):
    make_run(tmp_path, num_classes=num_classes)
    html, markdown = written(tmp_path)
    assert f"class {num_classes - 1}" in Page(html).text and f"class {num_classes - 1}" in markdown
    assert len(html) < 1_500_000


def test_empty_groups_untested_classes_no_history_no_panel(tmp_path):
    evaluated = make_run(tmp_path, num_classes=6, history=False, tested=2)
    assert evaluated["accuracy"]["few"] is None
    html, markdown = written(tmp_path)
    page = Page(html)
    assert "few" in re.search(r"No class with test images is in: ([^.]*)\.", page.text)[1]
    assert "| Few | – |" in markdown
    assert page.tags.count("img") == 0 and page.tags.count("svg") == 6


def test_the_least_a_results_file_may_have(tmp_path):
    make_run(tmp_path)
    full = results.read_results(tmp_path)
    results.write_results(tmp_path, {key: full[key] for key in ("accuracy", "per_class")})
    html, _ = written(tmp_path)
    assert "None" not in Page(html).text


def test_best_on_validation_is_named(tmp_path):
    make_run(tmp_path, extra={"best": {"accuracy": {"all": 66.0}, "epoch": 9, "split": "val"}})
    html, _ = written(tmp_path)
    assert "The best epoch was 9 with 66.00 % on the test set; it is chosen on the validation split." in Page(html).text


def test_report_is_repeatable(tmp_path):
    make_run(tmp_path, num_classes=60, panel=True)
    assert written(tmp_path) == written(tmp_path)
    assert not list(tmp_path.glob(".*.tmp"))


def test_drawings_are_xml_in_the_colours_of_the_page(tmp_path):
    rows = make_run(tmp_path, names=[HOSTILE] * 10)["per_class"]
    for svg in (plots.group_accuracy({"all": 50.0, "many": None}), class_plots.class_accuracy(rows),
                class_plots.class_counts(rows), plots.accuracy_curves([]), plots.loss_curves([{"loss": 1.0}])):
        root = xml.etree.ElementTree.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "currentColor" in svg and "#010203" not in svg
        assert not {"width", "height"} & set(root.attrib)


def test_confusion_cells_are_row_shares_in_order_of_frequency():
    rows = [{"class": k, "name": f"n{k}", "group": "few", "train_count": n} for k, n in enumerate([5, 50, 20])]
    svg = class_plots.confusion([0, 0, 0, 0, 1, 2], [0, 0, 0, 1, 1, 2], rows)
    texts = ["".join(node.itertext()) for node in xml.etree.ElementTree.fromstring(svg).iter() if
             node.tag.endswith("}text")]
    assert texts.count("100") == 2 and texts.count("75") == 1 and texts.count("25") == 1
    assert [text for text in texts if text.startswith("n")] == ["n1", "n2", "n0"] * 2


def test_confusion_beyond_the_cells_keeps_every_image():
    rows = [{"class": k, "train_count": 1000 - k} for k in range(500)]
    classes = np.arange(500)
    share = class_plots._row_shares(classes, classes, rows, class_plots.MAX_BARS)
    np.testing.assert_array_equal(share, np.eye(class_plots.MAX_BARS))


@pytest.mark.parametrize("name", ["results.json", "predictions.npz"])
def test_missing_file_is_named(tmp_path, name):
    make_run(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=re.escape(str(tmp_path / name))):
        write_report(tmp_path)


def test_predictions_of_another_run_are_refused(tmp_path):
    make_run(tmp_path)
    results.write_predictions(tmp_path, Predictions([10], [0], [0.5]))
    with pytest.raises(UserError, match="different runs"):
        write_report(tmp_path)


def test_report_imports_neither_tensorflow_nor_keras_nor_pyplot(tmp_path):
    make_run(tmp_path)
    code = ("import sys; from cmo_tf.report.report import write_report; write_report(sys.argv[1]);"
            "print({'tensorflow', 'keras', 'matplotlib.pyplot'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_early_stop_and_pictures_left_out_are_said():
    """results.json of a run with --early_stop and --keep=best says so in cards and notes."""
    from cmo_tf.report import report
    results = {"accuracy": {"all": 50.0, "many": 60.0, "medium": None, "few": 40.0}, "per_class": [], "epochs": 12,
               "flags": {"epochs": 40, "early_stop": 5}, "stopped_early": True, "skipped_images": 3,
               "kept": {"which": "best", "epoch": 7},
               "best": {"accuracy": {"all": 50.0}, "epoch": 7, "split": "val"}}
    notes = " ".join(report._notes(results))
    assert "stopped after epoch 12 of 40: 5 epochs brought nothing better" in notes and "3 pictures could not" in notes
    assert "All figures are those of epoch 7, best on validation, unless" in notes
    assert report._headline(results)[0] == ("All", "50.00", "accuracy %, epoch 7, best on validation")
