"""Promise 11: nothing that came from somebody else runs code, leads out of its folder, or speaks in another's name.
Model files: test_untrusted_models.py."""

import ast
import gzip
import io
import json
import os
import tarfile
from collections import defaultdict

import pytest

from cmo_tf.core.errors import UserError
from cmo_tf.datasets.category_json import read_json
from cmo_tf.datasets.lists import read_list
from cmo_tf.evaluation.prior import logit_offset
from cmo_tf.inspection import timing
from cmo_tf.report import report_md
from cmo_tf.serving import table
from tests.support.photo_folder import make
from tests.support.program import ROOT, program
from tests.support.tiny_tfds import load_tool

SOURCES = [path for folder in ("cmo_tf", "tools") for path in sorted((ROOT / folder).rglob("*.py"))]


def calls(tree):
    """(line, dotted name, keywords) of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}, node


FORBIDDEN = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "yaml.load",
             "joblib.load", "pd.read_pickle", "shutil.unpack_archive", "tempfile.mktemp", "keras.utils.get_file",
             "keras.config.enable_unsafe_deserialization"}
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# Writes a file for the official script that reads nothing else; reads files of known digests by its own rules.
WRITES_A_PICKLE, READS_ONE = "tools/maintain/golden/make_two_stage.py", "cmo_tf/models/weights/torch_file.py"


def test_the_code_has_no_way_to_run_data():
    """No pickle, eval, shell or unpacking in the sources; arrays without pickles; models by saved_file alone."""
    for path in SOURCES:
        tree, where = ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(ROOT))
        for line, name, keywords, node in calls(tree):
            allowed(where, f"{where}:{line}: {name}", name, keywords, node)
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if UNPICKLERS & {name.split(".")[0] for name in names}:
                assert where in (WRITES_A_PICKLE, READS_ONE), f"{where}:{node.lineno}: {names}"
    assert len(SOURCES) > 150


def test_the_one_reader_of_pickles_loads_nothing_by_name():
    tree = ast.parse((ROOT / READS_ONE).read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle"}
    readers = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
               and any(ast.unparse(base) in ("pickle.Unpickler", "_Plain") for base in node.bases)]
    assert used == {"Unpickler", "UnpicklingError"} and len(readers) == 2
    assert all({"find_class", "persistent_load"} <= {f.name for f in reader.body if isinstance(f, ast.FunctionDef)}
               for reader in readers)


def allowed(where, place, name, keywords, node):
    """Asserts that a call is none of those that run what they are given."""
    last = name.rsplit(".", 1)[-1]
    assert name not in FORBIDDEN and last not in ("extract", "extractall"), place
    assert name not in ("pickle.load", "pickle.loads") and keywords.get("shell", "False") == "False", place
    assert keywords.get("safe_mode", "True") == "True" and keywords.get("allow_pickle", "False") == "False", place
    if name in ("np.load", "numpy.load"):
        assert keywords.get("allow_pickle") == "False", place
    if last in ("load_model", "model_from_json") and "golden" not in where:
        assert where in ("cmo_tf/models/weights/saved_file.py", "cmo_tf/serving/model.py"), place
    if name.startswith("subprocess."):  # a list, which no shell takes apart
        assert isinstance(node.args[0], (ast.List, ast.Name)) or "command(" in ast.unparse(node.args[0]), place


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a/..", "..", "x\0y", "\r/etc/passwd"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lists_lead_nowhere_else(name, ending, tmp_path):
    """tests/datasets/test_big_sets.py has the other bad lines."""
    path = tmp_path / "list.txt"
    path.write_bytes(f"a.jpg 0{ending}{name} 1{ending}b.jpg 2{ending}".encode())
    with pytest.raises(UserError, match=r"list\.txt, row [23] .*(leads out of the folder|has no label|is empty)"):
        read_list(str(path), str(tmp_path))
    one = {"images": [{"id": 1, "file_name": name}], "annotations": [{"image_id": 1, "category_id": 0}]}
    path.write_text(json.dumps(one))
    if "\r" not in name:
        with pytest.raises(UserError, match=r"list\.txt, image 0 .*(leads out|has the file name)"):
            read_json(str(tmp_path), "list.txt", "list.txt")


@pytest.fixture(scope="module")
def tool():
    return load_tool("prepare_data")


def archive(members):
    """A tar of (TarInfo, data)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as opened:
        for info, data in members:
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
    return file.getvalue()


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_archives_are_never_unpacked(tool, tmp_path):
    """Of members whose names or links lead elsewhere only the content is read, by the last part of the name."""
    (tmp_path / "in").mkdir()
    place = tmp_path / "in" / "package.tgz"
    hostile = [(member("../../evil"), b"x"), (member("/tmp/evil"), b"x"), (member("a", tarfile.SYMTYPE, "/etc"), b""),
               (member("a/passwd"), b"x"), (member("want.json", tarfile.SYMTYPE, "/etc/passwd"), b""),
               (member("package/want.json", tarfile.LNKTYPE, "../../secret"), b""),
               (member("dev", tarfile.CHRTYPE), b"")]
    place.write_bytes(archive(hostile))
    with pytest.raises(UserError, match="package.tgz: has no want.json"):
        tool.read_files(str(place), ["want.json"])
    place.write_bytes(archive([*hostile, (member("../../want.json"), b"{}")]))
    assert tool.read_files(str(place), ["want.json"]) == {"want.json": b"{}"}
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == ["in", "in/package.tgz"]


def test_archives_that_grow_without_end(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "ARCHIVE_LIMIT", 2**20)
    monkeypatch.setattr(tool, "MEMBER_LIMIT", 2**18)
    place = tmp_path / "package.tgz"
    place.write_bytes(archive([(member(f"{k}.bin"), bytes(2**18)) for k in range(5)]))
    with pytest.raises(UserError, match="cannot be read .unpacks to more than 1 MiB"):
        tool.read_files(str(place), ["want.json"])
    place.write_bytes(archive([(member("want.json"), bytes(2**18 + 1))]))
    with pytest.raises(UserError, match="has no want.json"):
        tool.read_files(str(place), ["want.json"])
    packed = gzip.compress(b"\0\0\x08\x01\0\x10\0\0" + bytes(2**20))
    with pytest.raises(UserError, match="not an IDX file"):
        tool._parse_idx(packed)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"{", b"[1, 2", b"[[1], 2]", b'["a"]', b"\0" * 99])
@pytest.mark.parametrize("dataset", ["cifar10", "fashion_mnist"])
def test_damaged_files_of_a_package_are_one_line(content, dataset, tool, tmp_path):
    files = defaultdict(lambda: content)
    read = {"cifar10": tool.read_cifar10, "fashion_mnist": tool.read_fashion_mnist}[dataset]
    with pytest.raises(UserError, match="^--from.*(damaged|not an IDX|a sheet)") as error:
        tool._decoded(lambda find: read(lambda names: files), "x.tgz")
    assert "\n" not in str(error.value)


HOSTILE = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "a\n=1", "a,b\n<img src=x onerror=alert(1)>", "`|`\n# x",
           "[x](javascript:alert(1))", "\x1b[2Jx", "\udcff", "x\u2028y", "\uff1d1", "<script>", "&amp;", "![x](y)")


def test_what_is_written_speaks_in_nobodys_name():
    """One line a name in CSV, Markdown and errors, no formula, no markup, nothing that a terminal obeys. Reports:
    tests/report/test_report.py; pages of --mode=inspect: tests/cli/test_inspect.py."""
    for text in HOSTILE:
        cell = table.as_text(text)
        assert cell.isprintable() and not cell.lstrip().startswith(table.FORMULA), cell
        path = table.as_path(text)
        assert path.isprintable() and not path.lstrip().startswith(table.FORMULA), path
        row = report_md.table(["name"], [[text]], ())
        assert row.count("\n") == 2 and "<" not in row and row.replace("\\|", "").count("|") == 6, row
        line = str(UserError(f"{text}: is not good"))
        assert "\n" not in line and "\x1b" not in line and "\u2028" not in line


def test_names_of_files_that_are_no_text(tmp_path, monkeypatch):
    """A class and a picture whose names are no UTF-8, with line breaks and escape codes: inspected without a crash."""
    monkeypatch.setattr(timing, "measure", lambda config, counts, shape: timing.Timing(0.05, 2.0, 9))
    root = make(tmp_path / "own", largest=4, ratio=2, sides=(40, 50))
    odd = os.path.join(os.fsencode(root), b"cl\xffss\x1b[2J\n=1")
    os.mkdir(odd)
    for name in (b"\xfe\n<b>.jpg", b"good.jpg"):
        with open(os.path.join(odd, name), "wb") as file:
            file.write((root / "cat" / "0001.jpg").read_bytes() if name[0] != 0xFE else b"")
    out = tmp_path / "out"
    ended = program("--mode=inspect", f"--dataset=folder:{root}", f"--run_dir={out}", "--image_size=32")
    assert ended.code == 0, ended.err
    ended.out.encode("utf-8")  # as a terminal would get it
    assert "\x1b" not in ended.out
    for name in ("inspect.html", "inspect.md"):
        text = (out / name).read_text(encoding="utf-8")
        assert "\x1b" not in text and "<b>" not in text
    ended = program(f"--dataset=folder:{root}", f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 2 and ended.err.count("\n") == 1 and "the file is empty" in ended.err


def test_a_test_prior_is_no_address(monkeypatch):
    """numpy's own reader of text would fetch it."""
    import urllib.request
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: pytest.fail("network used"))
    with pytest.raises(UserError, match="--test_prior=file:http://x.example/p: cannot be read .No such file"):
        logit_offset("file:http://x.example/p", [5, 3])
