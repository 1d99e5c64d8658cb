"""Suites: budgets, cells that are gone on with, gaps, tables and the page."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from runs import mdtranslate

from mdtranslate.bench.compare import plan
from mdtranslate.errors import RecipeError

TINY = """
title = "A & B"
about = "Two of them."
settings = [
  'datasets.avatars={name="avatars", train=24, val=8, test=16, attributes=["Eyeglasses"]}',
  "data.image_size=16", "data.batch_size=4", "train.check_every=4", "train.log_every=2",
]
columns = ["accuracy", "preservation", "l1", "psnr gain"]
pictures = 3
evaluation.judge = { rounds = 1, least = 64 }
edits = ["Eyeglasses=yes"]
[budgets.total]
total = 32
[methods.stargan]
recipe = "stargan"
title = "Star < GAN"
settings = ["generator.channels=4", "generator.blocks=0", "discriminator.channels=4", "discriminator.layers=2"]
[methods.diat]
recipe = "diat"
settings = [
  "generator.of.channels=2", "generator.of.blocks=0", "discriminator.of.channels=2", "discriminator.of.layers=2",
]
"""
MORE = """
[methods.cyclegan]
recipe = "cyclegan"
settings = [
  "generator.of.channels=2", "generator.of.blocks=0", "discriminator.of.channels=2", "discriminator.of.layers=2",
]
[methods.pix2pix]
recipe = "pix2pix"
settings = ["generator.of.channels=2", "discriminator.of.channels=2", "discriminator.of.layers=2"]
"""


class Tags(HTMLParser):
    """Whether what is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "img", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "path":
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_a_suite_from_its_file_to_its_page_and_again(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY + MORE)
    done = mdtranslate("bench", "tiny.toml", "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    said = ["training, 8 steps", "evaluating", "trained and evaluated"]
    assert [line for line in done.stderr.splitlines() if line.startswith("[1/4]")] == [
        f"[1/4] total stargan seed 0: {each}" for each in said
    ]
    results = json.loads((tmp_path / "out/results.json").read_text())
    star, diat, cyclegan, pix2pix = results["rows"]
    assert cyclegan["figures"]["networks"] == pix2pix["figures"]["networks"] == [2.0]
    assert results["reference"]["accuracy"] == results["real"]["Eyeglasses"]
    assert all(row["figures"][cost][0] > 0 for row in results["rows"] for cost in ("size", "memory", "pictures/s"))
    assert star["figures"]["networks"] == [1.0] and diat["figures"]["networks"] == [2.0]
    assert star["figures"]["steps"] == diat["figures"]["steps"] == [8.0]
    assert 0 <= star["figures"]["accuracy"][0] <= 1 and set(star["figures"]) >= {"preservation", "l1", "psnr gain"}
    for key in ("recipe_hash", "data_hash", "split", "counts", "judge", "seeds", "hardware", "versions"):
        assert star[key] or star[key] == 0, key
    assert star["data_hash"] == diat["data_hash"] and star["judge"] == diat["judge"]
    assert star["recipe_hash"] != diat["recipe_hash"]
    page = (tmp_path / "out/index.html").read_text()
    tags = Tags(page)
    assert not tags.wrong and not tags.open
    assert "Star &lt; GAN" in page and "A &amp; B" in page and "Star < GAN" not in page
    assert not re.search(r"(src|href)=\W?(?!data:|\W)", page) and "url(" not in page, "it needs no network"
    assert page.count("data:image/png;base64,") == 6, "test pictures, four methods, true pictures"
    table = (tmp_path / "out/table.md").read_text()
    assert "| Star < GAN |" in table and "| real pictures |" in table
    read = list(csv.DictReader(io.StringIO((tmp_path / "out/table.csv").read_text())))
    assert [each["method"] for each in read] == ["stargan", "diat", "cyclegan", "pix2pix", ""]
    assert float(read[0]["l1"]) > 0 and read[0]["title"] == "Star < GAN" and not read[0]["gap"]
    assert read[4]["title"] == "real pictures" and float(read[4]["accuracy"]) == results["reference"]["accuracy"]

    # What is done is not done again; another measure only evaluates; another recipe trains again.
    before = (tmp_path / "out/cells/total/diat/seed-0/run/log.jsonl").stat().st_mtime_ns
    done = mdtranslate("bench", "tiny.toml", "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr.count("done before") == 4
    changed = TINY.replace("train.log_every=2", "train.log_every=4").replace(
        "[budgets.total]", "[metrics.edit-magnitude]\n[metrics.edit-accuracy]\n[budgets.total]"
    )
    changed = changed.replace('"l1", "psnr gain"', '"chang", "kid"').replace(
        "discriminator.layers=2", "discriminator.layers=3"
    )
    (tmp_path / "tiny.toml").write_text(changed)
    done = mdtranslate("bench", "tiny.toml", "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert "stargan seed 0: trained and evaluated" in done.stderr and "diat seed 0: evaluated" in done.stderr
    assert "stargan seed 0: its recipe or length is another than before: begun anew" in done.stderr
    assert (tmp_path / "out/cells/total/diat/seed-0/run/log.jsonl").stat().st_mtime_ns == before
    assert done.returncode == 1, "a figure that no metric gives is a gap"
    assert "total, diat: no kid: no metric of the suite gives it" in " ".join(done.stdout.split())
    assert (
        "stargan seed 0: columns: no chang: no metric of the suite gives it on these pictures; did you mean 'change'?"
        in (done.stderr)
    )


def test_a_method_that_fails_is_a_gap_and_the_others_go_on(tmp_path: Path) -> None:
    wrong = (
        '[methods.wrong]\nrecipe = "starga"\n[methods.fails]\nrecipe = "stargan"\nsettings = ["data.image_size=18"]\n'
    )
    wrong += """[methods.lost]\nrecipe = "stargan"\nsettings = ['datasets={celeba={root="nowhere"}}']\n"""
    (tmp_path / "tiny.toml").write_text(TINY.partition("[methods.diat]")[0] + wrong)
    done = mdtranslate("bench", "tiny.toml", "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    said = " ".join(done.stdout.split())
    assert "total, wrong: no recipe is called 'starga': did you mean 'stargan'?" in said
    assert re.search(r"total, fails: .*image_size", said)
    assert "total, lost: nowhere: " in said, "a method without its data is no other method's trouble"
    star, other, fails, _ = json.loads((tmp_path / "out/results.json").read_text())["rows"]
    assert star["figures"]["accuracy"] and not other["figures"] and "image_size" in fails["gap"]
    planned = mdtranslate("bench", "tiny.toml", "--dry-run", cwd=tmp_path)
    assert planned.returncode == 1 and "wrong: no recipe is called 'starga'" in planned.stdout
    (tmp_path / "none.toml").write_text(TINY.partition("[methods.stargan]")[0] + '[methods.a]\nrecipe = "nothing"\n')
    done = mdtranslate("bench", "none.toml", cwd=tmp_path)
    assert done.returncode == 2 and "no method can be run" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("total = 32", "total = 32\nseconds = 3", r"budgets\.total: .*one of each, total \(pictures\) and seconds"),
        ("total = 32", "totel = 8", r"budgets\.total\.totel=8: no such key; did you mean 'total'"),
        ("[budgets.total]", '[budgets."a b"]', "'a b': methods and budgets are called by letters"),
        ("pictures = 3", "pictures = 0", r"pictures=0: .*greater than or equal to 1"),
        ("title =", "titel =", r'titel="A & B": no such key; did you mean .title'),
        ("pictures = 3", "seeds = [1, 1]", "seeds: one is there twice"),
        ("pictures = 3", "seeds = [-1]", r"suite\.toml: seeds\.0=-1: "),
        ("pictures = 3", "seeds = 3", r"suite\.toml: seeds=3: should be a list"),
        ('"data.batch_size=4"', '"data.batch=4"', r"suite\.toml: every method: data\.batch=4: no such key"),
        ("pictures = 3", "pictures = ", "is not TOML"),
        (
            '"data.batch_size=4"',
            '"data.batch_size=4", "train.steps=5"',
            "settings: train.steps: metrics, eval",
        ),
        (
            '"data.batch_size=4"',
            '"evaluation.judge.rounds=1"',
            "settings: evaluation.judge.rounds: metrics",
        ),
        # What would fail only after hours.
        ("[budgets.total]", "[metrics.acuracy]\n[budgets.total]", "no metric is called 'acuracy'"),
        ('edits = ["Eyeglasses=yes"]', 'edits = ["Eyeglases=yes"]', "edits: Eyeglases=yes: avatars has no attribute"),
        ('edits = ["Eyeglasses=yes"]', 'edits = ["Eyeglasses=perhaps"]', "edits: Eyeglasses=perhaps: "),
        (
            'recipe = "diat"\nsettings = [',
            """recipe = "diat"\nsettings = ['datasets.avatars.attributes=["hair"]',""",
            r"methods\.diat labels hair of avatars, methods\.stargan Eyeglasses of avatars",
        ),
    ],
)
def test_mistakes_in_a_suite_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "suite.toml"
    file.write_text(TINY.replace(old, new, 1))
    with pytest.raises(RecipeError, match=message):
        plan(file)


def test_a_budget_of_seconds_for_several_seeds(tmp_path: Path) -> None:
    suite = TINY.partition("[methods.diat]")[0].replace("[budgets.total]\ntotal = 32", "[budgets.time]\nseconds = 2")
    suite = suite.replace("pictures = 3", "pictures = 3\nseeds = [3, 4]").replace("check_every=4", "check_every=0")
    (tmp_path / "tiny.toml").write_text(suite + "[metrics.edit-accuracy]\n[metrics.reconstruction]\n")
    done = mdtranslate("bench", "tiny.toml", "--out", "out", "--device", "cpu", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 1 and "no psnr gain: no metric of the suite gives it" in " ".join(done.stdout.split())
    (row,) = json.loads((tmp_path / "out/results.json").read_text())["rows"]
    assert (
        row["seeds"] == [3, 4] and len(row["figures"]["l1"]) == 2 and row["figures"]["l1"][0] != row["figures"]["l1"][1]
    )
    for seed, count in zip((3, 4), row["figures"]["steps"], strict=True):
        cell = tmp_path / f"out/cells/time/stargan/seed-{seed}"
        assert json.loads((cell / "run/status.json").read_text())["step"] == count > 1
        assert not (cell / "trial").exists()
    # Beside a run a damaged note of what it is does not cost the run.
    (cell / "cell.json").write_text("garbage")
    done = mdtranslate("bench", "tiny.toml", "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 1 and f"{cell.relative_to(tmp_path)}/cell.json: is missing or damaged" in done.stderr
    assert (cell / "run/translator").exists()


def test_ctrl_c_saves_the_cells_and_the_same_words_go_on(tmp_path: Path) -> None:
    only = TINY.partition("[methods.diat]")[0].replace("total = 32", "total = 480")
    only = only.replace("train.check_every=4", "train.check_every=0")
    (tmp_path / "tiny.toml").write_text(only + '[methods.later]\nrecipe = "stargan"\n')
    words = [sys.executable, "-m", "mdtranslate", "bench", "tiny.toml", "--out", "out", "--device", "cpu"]
    log = tmp_path / "out/cells/total/stargan/seed-0/run/log.jsonl"
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as bench:
        for _ in range(600):
            if log.exists() and '{"step": 20' in log.read_text():
                break
            time.sleep(0.1)
        bench.send_signal(signal.SIGINT)
        _, said = bench.communicate(timeout=60)
    assert bench.returncode == 130 and said.strip().endswith("stopped") and "failed" not in said
    assert "the same words go on with it" in said
    status = json.loads((log.parent / "status.json").read_text())
    assert status["state"] == "stopped" and 20 <= status["step"] < 120
    assert not (tmp_path / "out/cells/total/later").exists(), "no other cell was begun"
    (tmp_path / "tiny.toml").write_text(only)
    done = mdtranslate(*words[3:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "stargan seed 0: trained and evaluated" in done.stderr
    assert len(json.loads((log.parent / "environment.json").read_text())) == 2, "begun once and gone on with once"
