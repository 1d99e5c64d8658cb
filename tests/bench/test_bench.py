"""Suites: budgets, resumed cells, gaps, tables and the page."""

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

from mdtranslate.bench.compare import plan_suite
from mdtranslate.errors import RecipeError

TINY = """
title = "A & B"
description = "Two of them."
settings = [
  'datasets.avatars={name="avatars", train=24, val=8, test=16, attributes=["Eyeglasses"]}',
  "data.image_size=16", "data.batch_size=4", "train.validate_every=4", "train.log_every=2",
]
columns = ["accuracy", "preservation", "l1", "psnr gain"]
images = 3
evaluation.classifier = { epochs = 1, min_images_per_epoch = 64 }
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
  "generator.member.channels=2", "generator.member.blocks=0",
  "discriminator.member.channels=2", "discriminator.member.layers=2",
]
"""
MORE = """
[methods.cyclegan]
recipe = "cyclegan"
settings = [
  "generator.member.channels=2", "generator.member.blocks=0",
  "discriminator.member.channels=2", "discriminator.member.layers=2",
]
[methods.pix2pix]
recipe = "pix2pix"
settings = ["generator.member.channels=2", "discriminator.member.channels=2", "discriminator.member.layers=2"]
"""


class Tags(HTMLParser):
    """Collects HTML tags that are left open or closed wrongly."""

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


def test_suite_from_its_file_to_its_page_and_again(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY + MORE)
    done = mdtranslate("bench", "tiny.toml", "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    stages = ["training, 8 steps", "evaluating", "trained and evaluated"]
    assert [line for line in done.stderr.splitlines() if line.startswith("[1/4]")] == [
        f"[1/4] total stargan seed 0: {stage}" for stage in stages
    ]
    results = json.loads((tmp_path / "out/results.json").read_text())
    star, diat, cyclegan, pix2pix = results["rows"]
    assert cyclegan["figures"]["networks"] == pix2pix["figures"]["networks"] == [2.0]
    assert results["reference"]["accuracy"] == results["real"]["Eyeglasses"]
    assert all(row["figures"][cost][0] > 0 for row in results["rows"] for cost in ("size", "memory", "images/s"))
    assert star["figures"]["networks"] == [1.0] and diat["figures"]["networks"] == [2.0]
    assert star["figures"]["steps"] == diat["figures"]["steps"] == [8.0]
    assert 0 <= star["figures"]["accuracy"][0] <= 1 and set(star["figures"]) >= {"preservation", "l1", "psnr gain"}
    for key in ("recipe_hash", "data_hash", "split", "counts", "classifier", "seeds", "hardware", "versions"):
        assert star[key] or star[key] == 0, key
    assert star["data_hash"] == diat["data_hash"] and star["classifier"] == diat["classifier"]
    assert star["recipe_hash"] != diat["recipe_hash"]
    page = (tmp_path / "out/index.html").read_text()
    tags = Tags(page)
    assert not tags.wrong and not tags.open
    assert "Star &lt; GAN" in page and "A &amp; B" in page and "Star < GAN" not in page
    assert not re.search(r"(src|href)=\W?(?!data:|\W)", page) and "url(" not in page, "it needs no network"
    assert page.count("data:image/png;base64,") == 6, "test images, four methods, ground truth"
    table = (tmp_path / "out/table.md").read_text()
    assert "| Star < GAN |" in table and "| real images |" in table
    read = list(csv.DictReader(io.StringIO((tmp_path / "out/table.csv").read_text())))
    assert [line["method"] for line in read] == ["stargan", "diat", "cyclegan", "pix2pix", ""]
    assert float(read[0]["l1"]) > 0 and read[0]["title"] == "Star < GAN" and not read[0]["gap"]
    assert read[4]["title"] == "real images" and float(read[4]["accuracy"]) == results["reference"]["accuracy"]

    # Finished cells are skipped; new metrics only evaluate again; a changed recipe trains again.
    before = (tmp_path / "out/cells/total/diat/seed-0/run/log.jsonl").stat().st_mtime_ns
    done = mdtranslate("bench", "tiny.toml", "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr.count("already done") == 4
    changed = TINY.replace("train.log_every=2", "train.log_every=4").replace(
        "[budgets.total]", "[metrics.edit-magnitude]\n[metrics.edit-accuracy]\n[budgets.total]"
    )
    changed = changed.replace('"l1", "psnr gain"', '"chang", "kid"').replace(
        "discriminator.layers=2", "discriminator.layers=3"
    )
    (tmp_path / "tiny.toml").write_text(changed)
    done = mdtranslate("bench", "tiny.toml", "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert "stargan seed 0: trained and evaluated" in done.stderr and "diat seed 0: evaluated" in done.stderr
    assert done.stderr.count("training starts again") == 1
    assert (tmp_path / "out/cells/total/diat/seed-0/run/log.jsonl").stat().st_mtime_ns == before
    assert done.returncode == 1, "a figure that no metric gives is a gap"
    assert "total, diat: no kid: " in " ".join(done.stdout.split())
    assert re.search(r"stargan seed 0: .*no chang: .*did you mean 'change'\?", done.stderr)


def test_method_that_fails_is_a_gap_and_the_others_go_on(tmp_path: Path) -> None:
    invalid = (
        '[methods.wrong]\nrecipe = "starga"\n[methods.fails]\nrecipe = "stargan"\nsettings = ["data.image_size=18"]\n'
    )
    invalid += """[methods.lost]\nrecipe = "stargan"\nsettings = ['datasets={celeba={root="nowhere"}}']\n"""
    (tmp_path / "tiny.toml").write_text(TINY.partition("[methods.diat]")[0] + invalid)
    done = mdtranslate("bench", "tiny.toml", "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    output = " ".join(done.stdout.split())
    assert "total, wrong: no recipe is called 'starga': did you mean 'stargan'?" in output
    assert re.search(r"total, fails: .*image_size", output)
    assert "total, lost: nowhere: " in output, "missing data of one method does not concern the others"
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
        ("total = 32", "total = 32\nseconds = 3", r"budgets\.total: .*per_generator.*total.*seconds"),
        ("total = 32", "totel = 8", r"budgets\.total\.totel=8: .*'total'"),
        ("[budgets.total]", '[budgets."a b"]', "'a b': "),
        ("images = 3", "images = 0", r"suite\.toml: images=0: "),
        ("title =", "titel =", r'titel="A & B": .*title'),
        ("images = 3", "seeds = [1, 1]", "seeds: "),
        ("images = 3", "seeds = [-1]", r"suite\.toml: seeds\.0=-1: "),
        ("images = 3", "seeds = 3", r"suite\.toml: seeds=3: "),
        ('"data.batch_size=4"', '"data.batch=4"', r"suite\.toml: every method: data\.batch=4: "),
        ("images = 3", "images = ", r"suite\.toml: "),
        (
            '"data.batch_size=4"',
            '"data.batch_size=4", "train.steps=5"',
            "settings: train.steps: ",
        ),
        (
            '"data.batch_size=4"',
            '"evaluation.classifier.epochs=1"',
            "settings: evaluation.classifier.epochs: ",
        ),
        # Mistakes that would fail only after hours.
        ("[budgets.total]", "[metrics.acuracy]\n[budgets.total]", "'acuracy'"),
        ('edits = ["Eyeglasses=yes"]', 'edits = ["Eyeglases=yes"]', "edits: Eyeglases=yes: avatars "),
        ('edits = ["Eyeglasses=yes"]', 'edits = ["Eyeglasses=perhaps"]', "edits: Eyeglasses=perhaps: "),
        (
            'recipe = "diat"\nsettings = [',
            """recipe = "diat"\nsettings = ['datasets.avatars.attributes=["hair"]',""",
            r"methods\.diat labels hair of avatars, methods\.stargan Eyeglasses of avatars",
        ),
    ],
)
def test_mistakes_in_a_suite_name_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "suite.toml"
    file.write_text(TINY.replace(old, new, 1))
    with pytest.raises(RecipeError, match=message):
        plan_suite(file)


def test_a_budget_of_seconds_for_several_seeds(tmp_path: Path) -> None:
    suite = TINY.partition("[methods.diat]")[0].replace("[budgets.total]\ntotal = 32", "[budgets.time]\nseconds = 2")
    suite = suite.replace("images = 3", "images = 3\nseeds = [3, 4]").replace("validate_every=4", "validate_every=0")
    (tmp_path / "tiny.toml").write_text(suite + "[metrics.edit-accuracy]\n[metrics.reconstruction]\n")
    done = mdtranslate("bench", "tiny.toml", "--out", "out", "--device", "cpu", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 1 and "no psnr gain: " in " ".join(done.stdout.split())
    (row,) = json.loads((tmp_path / "out/results.json").read_text())["rows"]
    assert (
        row["seeds"] == [3, 4] and len(row["figures"]["l1"]) == 2 and row["figures"]["l1"][0] != row["figures"]["l1"][1]
    )
    for seed, count in zip((3, 4), row["figures"]["steps"], strict=True):
        cell = tmp_path / f"out/cells/time/stargan/seed-{seed}"
        assert json.loads((cell / "run/status.json").read_text())["step"] == count > 1
        assert not (cell / "trial").exists()
    # A damaged cell.json does not delete the run.
    (cell / "cell.json").write_text("garbage")
    done = mdtranslate("bench", "tiny.toml", "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 1 and f"{cell.relative_to(tmp_path)}/cell.json: " in done.stderr
    assert (cell / "run/translator").exists()


def test_ctrl_c_saves_the_cells_and_the_same_command_resumes_them(tmp_path: Path) -> None:
    only = TINY.partition("[methods.diat]")[0].replace("total = 32", "total = 480")
    only = only.replace("train.validate_every=4", "train.validate_every=0")
    (tmp_path / "tiny.toml").write_text(only + '[methods.later]\nrecipe = "stargan"\n')
    command = [sys.executable, "-m", "mdtranslate", "bench", "tiny.toml", "--out", "out", "--device", "cpu"]
    log = tmp_path / "out/cells/total/stargan/seed-0/run/log.jsonl"
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as bench:
        for _ in range(600):
            if log.exists() and '{"step": 20' in log.read_text():
                break
            time.sleep(0.1)
        bench.send_signal(signal.SIGINT)
        _, messages = bench.communicate(timeout=60)
    assert bench.returncode == 130 and messages.strip().endswith("stopped") and "failed" not in messages
    assert "the same command resumes them" in messages
    status = json.loads((log.parent / "status.json").read_text())
    assert status["state"] == "stopped" and 20 <= status["step"] < 120
    assert not (tmp_path / "out/cells/total/later").exists(), "no other cell was started"
    (tmp_path / "tiny.toml").write_text(only)
    done = mdtranslate(*command[3:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "stargan seed 0: trained and evaluated" in done.stderr
    assert len(json.loads((log.parent / "environment.json").read_text())) == 2, "started once and resumed once"
