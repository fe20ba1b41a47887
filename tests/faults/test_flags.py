"""Flags and flag files that make no sense: one line that names them, exit code 2, and nothing is made.

tests/config has each of them by itself; here they come through the program.
"""

import pytest

from cmo_tf.config import flagfile
from cmo_tf.run import run as training_run
from cmo_tf.run import summary
from tests.support.method_runs import TINY
from tests.support.program import program

BAD = {
    "unknown": (["--qwertz=1"], "--qwertz: no such flag."),
    "misspelt": (["--epocs=3"], "--epocs: no such flag. Did you mean --epochs?"),
    "misspelt switch": (["--nodrop_remainders"], "--nodrop_remainders: no such flag."),
    "misspelt value": (["--mix=cmoo"], "--mix=cmoo: no such mixer; did you mean 'cmo'?"),
    "misspelt data": (["--dataset=cifar11"], "--dataset=cifar11: no such data set; did you mean 'cifar10'?"),
    "too small": (["--epochs=0"], "--epochs=0 must be at least 1 and finite"),
    "too large": (["--probability=1.5"], "--probability=1.5 must be at least 0 and at most 1 and finite"),
    "not a number": (["--lr=nan"], "--lr=nan must be more than 0 and finite"),
    "without end": (["--lr=inf"], "--lr=inf must be more than 0 and finite"),
    "of another kind": (["--batch_size=many"], "--batch_size=many: a whole number is needed"),
    "without a value": (["--epochs"], "--epochs: the value is missing"),
    "a stray word": (["digits"], "'digits' is no flag; write --name=value"),
    "contradictory": (["--method=bs", "--loss=ce"], "--method=bs stands for --loss=bs and contradicts --loss=ce"),
    "together with others": (["--early_stop=3"], "--early_stop=3: looks at validation images; add --val_fraction=0.1"),
    "useless": (["--tau=1"], "--tau=1.0 does nothing with --method=plain; leave it out or take --method=tau_norm"),
    "useless with the loss": (["--focal_gamma=2"], "--focal_gamma=2 does nothing with --loss=ce"),
    "rate of going back": (["--on_nan=rollback", "--nan_rate_factor=1"], "--nan_rate_factor=1 must be more than 0"),
    "on_nan": (["--on_nan=continue"], "--on_nan=continue: there are stop, rollback"),
    "a control character": (["--data_dir=a\x1b[31mb"], "--data_dir='a\\x1b[31mb': holds a control character"),
    "two lines": (["--data_dir=a\nb"], "--data_dir='a\\nb': begins or ends with a blank or holds a line break"),
    "no text": (["--data_dir=a\udcff"], "--data_dir='a\\udcff': is not text in UTF-8"),
    "a batch too large": (["--batch_size=65", "--drop_remainder"], "--batch_size=65: the training split has 64 images "
                          "and --drop_remainder leaves no batch; lower one or drop the other"),
}

FILES = {
    "missing": (None, "a.cfg: cannot be read (No such file or directory)"),
    "a byte order mark": (b"\xef\xbb\xbf--epochs=3\n", "a.cfg:1: starts with a byte order mark; save it as UTF-8"),
    "UTF-16": ("--epochs=3\n".encode("utf-16"), "a.cfg: not a text file in UTF-8 (byte 0)"),
    "a control character": (b"--epochs=3\n--lr=0.1\x00\n", "a.cfg:2: holds a control character"),
    "a comment behind": (b"--epochs=3 # short\n", "a.cfg:1: a comment behind a flag"),
    "blanks": (b"--epochs = 3\n", "a.cfg:1: '--epochs = 3' is not of the form --name=value"),
    "two in a line": (b"--epochs=3 --lr=0.1\n", "a.cfg:1: two flags on one line"),
    "one dash": (b"-epochs=3\n", "a.cfg:1: '-epochs=3' is no flag"),
    "a dash of typography": ("\u2013\u2013epochs=3\n".encode(), "is no flag; write --name=value"),
    "includes itself": (b"--flagfile=a.cfg\n", "a.cfg: includes itself by way of a.cfg"),
    "a value out of range": (b"# short\n--epochs=-1\n", "a.cfg:2: --epochs=-1 must be at least 1"),
    "misspelt": (b"--lr=0.1\n--epocs=3\n", "a.cfg:2: --epocs: no such flag. Did you mean --epochs?"),
    "not a flag file": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not a text file in UTF-8"),
    "endless": (b"--epochs=3\n" * 120_000, "holds more than 1,048,576 characters, so it is no flag file"),
    "many": (b"--seed=3\n" * 10_001, "a.cfg:10001: more than 10,000 flags"),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, which must be as empty afterwards but for flag files."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not [path for path in tmp_path.rglob("*") if path.suffix != ".cfg"]


def told(*arguments) -> str:
    """The one line of a command that is refused."""
    ended = program(*arguments)
    assert ended.code == 2 and ended.out == "" and ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("cmo_tf: ") and ended.err.rstrip("\n").isprintable()
    return ended.err.removeprefix("cmo_tf: ")


@pytest.mark.parametrize("arguments, words", BAD.values(), ids=BAD)
def test_flags(arguments, words, here, small_networks):
    assert told(*(TINY if "batch" in words else []), "--run_dir=run", *arguments).startswith(words)


def test_a_folder_that_holds_no_run(here):
    assert told("--mode=eval").startswith("--mode=eval: name the run's folder, --run_dir=")
    assert told("--mode=eval", "--run_dir=.").startswith("--run_dir=.: no flags.cfg there, so no run of this program")


@pytest.mark.parametrize("content, words", FILES.values(), ids=FILES)
def test_flag_files(content, words, here):
    if content is not None:
        (here / "a.cfg").write_bytes(content)
    assert words in told("--flagfile=a.cfg", "--run_dir=run")


def test_files_in_files(here):
    """Deep, in a circle of two, and 2^20 flags from 21 small files."""
    for number in range(40):
        (here / f"deep{number}.cfg").write_text(f"--flagfile=deep{number + 1}.cfg\n")
    assert f"is the {flagfile.DEEPEST + 1}th file included in one another" in told("--flagfile=deep0.cfg")
    (here / "a.cfg").write_text("--epochs=3\n--flagfile=b.cfg\n")
    (here / "b.cfg").write_text("--flagfile=a.cfg\n")
    assert "includes itself by way of a.cfg -> b.cfg" in told("--flagfile=a.cfg")
    for number in range(20):
        (here / f"twice{number}.cfg").write_text(f"--flagfile=twice{number + 1}.cfg\n" * 2)
    (here / "twice20.cfg").write_text("--seed=1\n")
    assert "more than 10,000 flags" in told("--flagfile=twice0.cfg")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way(end, here):
    (here / "a.cfg").write_bytes(end.join(["# Läufe", "--seed=3", "--epochs=0", ""]).encode())
    assert "a.cfg:3: --epochs=0 must be at least 1" in told("--flagfile=a.cfg")


WARNED = {
    "a window outside the run": (["--mix=cmo", "--mix_skip_first=9"], "--mix=cmo: 2 epochs leave none between "
                                 "--mix_skip_first=9 and --mix_skip_last=3; training unmixed"),
    "re-weighting after the end": (["--reweight=drw", "--reweight_start=5"], "--reweight=drw: starts at epoch 5, after "
                                   "the last one; training unweighted (--reweight_start)"),
    "warm-up without end": (["--warmup_epochs=7"], "--warmup_epochs=7: the whole run of 2 epochs is warm-up"),
    "a loss after the end": (["--loss=ib", "--ib_start=2"], "--loss=ib: starts at epoch 2, after the last one; "
                             "training with cross-entropy"),
    "a batch larger than the set": (["--batch_size=1000"], "--batch_size=1000: the training split has 64 images; each "
                                    "epoch is one step on all of them"),
}


class Introduced(Exception):  # noqa: N818 - enough was seen
    pass


@pytest.mark.parametrize("arguments, words", WARNED.values(), ids=WARNED)
def test_what_will_not_happen_is_a_warning(arguments, words, tmp_path, monkeypatch, small_networks):
    said = []

    def lines(*given):
        said.extend(introduce_lines(*given))
        raise Introduced
    introduce_lines = summary.lines
    monkeypatch.setattr(training_run.summary, "lines", lines)
    with pytest.raises(Introduced):
        program(*TINY, *arguments, f"--run_dir={tmp_path / 'run'}")
    assert [line for line in said if line.startswith("warning: ")] == [f"warning: {words}"]


def test_a_run_goes_on_after_warnings(tmp_path, small_networks, no_plots):
    """A batch larger than the set in a run whose window is outside of it."""
    flags = [*TINY, "--mix=cmo", "--mix_skip_first=9", "--batch_size=1000"]
    ended = program(*flags, f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 0, ended.err
    assert ended.err.count("warning: ") == 2 and "epoch 2/2" in ended.err
    assert (tmp_path / "run" / "log.txt").read_text().count("warning: ") == 2
