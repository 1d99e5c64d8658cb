"""Filling the cache with real worker processes, which find the dataset by a plugin file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from caching import Files, cache_contents, fill_cache, image_records, small_files

from mdtranslate.api import Dataset, Record
from mdtranslate.config.registry import registry, set_plugin_files
from mdtranslate.data.cache.admin import clear, list_cache_entries
from mdtranslate.errors import DataError, StorageError

PLUGIN = """
import os, time
from pathlib import Path
import numpy as np
from mdtranslate.api.hookspecs import hookimpl
from mdtranslate.errors import DataError
from mdtranslate.api import Dataset, Record

class Odd(DataError):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")

class Drawn(Dataset):
    name = "drawn"

    class Config(Dataset.Config):
        shade: int = 0
        fail: str = ""
        log: Path | None = None
        gate: Path | None = None

    def records(self, split):
        raise NotImplementedError

    def load(self, record):
        if self.config.log:
            with self.config.log.open("a") as log:
                log.write(f"{os.getpid()} {record.key}\\n")
        while self.config.gate and not self.config.gate.exists():
            time.sleep(0.01)
        if record.key == "k50" and self.config.fail == "die":
            os._exit(1)
        if record.key == "k50" and self.config.fail == "odd":
            raise Odd("record", "k50 is odd")
        if record.key == "k50" and self.config.fail == "bug":
            raise KeyError("k50")
        height = 10 + int(record.attributes["tall"])
        return np.random.default_rng(int(record.key[1:])).integers(
            self.config.shade, 256, (height, 9, 3), dtype=np.uint8
        )

@hookimpl
def register_datasets():
    return [Drawn]
"""


@pytest.fixture
def drawn(tmp_path):
    """Makes the plugin's dataset."""
    plugin = tmp_path / "drawn_plugin.py"
    plugin.write_text(PLUGIN)
    set_plugin_files((plugin,))

    def make(**settings) -> Dataset:
        component = registry().component("dataset", "drawn")
        return component(component.Config(**settings))

    yield make
    set_plugin_files(())


class Lazy(dict):
    """Attributes that do not travel to another process."""

    def __reduce__(self):
        raise TypeError("stays here")


def numbered(count: int) -> list[Record]:
    return [Record(f"k{index}", None, Lazy(tall=index % 2 == 0)) for index in range(count)]


def pids(log: Path) -> set[int]:
    return {int(line.split()[0]) for line in log.read_text().splitlines()} if log.exists() else set()


def test_workers_write_the_same_bytes(tmp_path, drawn):
    alone = fill_cache(drawn(shade=100), numbered(100))
    pixels, digest = alone.pixels.copy(), alone.digest
    assert pixels.min() >= 100, "the setting is used"
    clear(list_cache_entries())
    seen = []
    log = tmp_path / "log"
    together = fill_cache(
        drawn(shade=100, log=log), numbered(100), workers=2, progress=lambda done, total: seen.append((done, total))
    )
    assert os.getpid() not in pids(log), "no worker was used"
    assert np.array_equal(together.pixels, pixels)
    assert together.digest == digest
    assert seen == [(32, 100), (64, 100), (96, 100), (100, 100)]


def test_few_records_or_unregistered_dataset_use_no_workers(tmp_path, drawn):
    log = tmp_path / "log"
    fill_cache(drawn(log=log), numbered(63), workers=None)
    assert pids(log) == {os.getpid()}
    base = registry().component("dataset", "drawn")

    class Throwaway(base):
        name = "drawn"
        version = "throwaway"

    fill_cache(Throwaway(base.Config(log=log)), numbered(100), workers=2)
    assert pids(log) == {os.getpid()}


def test_plugin_in_memory_uses_no_workers(tmp_path):
    class Plugin:
        from mdtranslate.api.hookspecs import hookimpl

        @hookimpl
        def register_datasets(self):
            return [Files]

    set_plugin_files(())
    try:
        registry().register(Plugin(), "memory")
        dataset = Files()
        fill_cache(dataset, image_records(tmp_path / "in", 40), workers=2)
        assert len(dataset.loaded) == 40
    finally:
        set_plugin_files(())


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        ("odd", "^record k50 is odd; data.unreadable=skip"),
        ("bug", "^dataset 'drawn' cannot load record 'k50': KeyError: 'k50'; data.unreadable=skip"),
        ("die", "^dataset 'drawn': .* died, .*data.workers=0[^\n]*$"),
    ],
)
def test_worker_errors_are_raised(cache, drawn, fail, message):
    with pytest.raises(DataError, match=message):
        fill_cache(drawn(fail=fail), numbered(100), workers=2)


def test_workers_leave_out_unreadable_images_and_continue(tmp_path, drawn):
    def stop(done, total):
        if done >= 64:
            raise KeyboardInterrupt

    whole = fill_cache(drawn(), numbered(200)).pixels.copy()
    clear(list_cache_entries())
    log = tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        fill_cache(drawn(fail="bug"), numbered(200), workers=2, max_unreadable=0.05, progress=stop)
    result = fill_cache(drawn(fail="bug", log=log), numbered(200), workers=2, max_unreadable=0.05)
    assert list(result.left_out) == [50] and "KeyError: 'k50'" in result.left_out[50]
    assert np.array_equal(result.pixels, np.delete(whole, 50, 0))
    loaded = {line.split()[1] for line in log.read_text().splitlines()}
    assert "k0" not in loaded and "k31" not in loaded, "the first chunk was there"
    assert "k50" in loaded, "whether it can be read is seen again"


def test_dataset_that_fails_in_a_worker_is_named(tmp_path, cache, drawn):
    dataset = drawn()
    (tmp_path / "drawn_plugin.py").write_text("raise RuntimeError('changed')")
    with pytest.raises(DataError, match=r"^dataset 'drawn' .*changed"):
        fill_cache(dataset, numbered(100), workers=2)
    assert cache_contents(cache) == []


def test_full_disk_with_workers_leaves_nothing(cache, drawn):
    with small_files(), pytest.raises(StorageError, match="cannot be written: File too large"):
        fill_cache(drawn(), numbered(100), workers=2)
    assert cache_contents(cache) == []


SCRIPT = """
import sys
from pathlib import Path
from mdtranslate.data.cache.store import cache_images
from mdtranslate.api import Record
from mdtranslate.config.registry import registry, set_plugin_files
{guard}
    set_plugin_files((Path("drawn_plugin.py"),))
    component = registry().component("dataset", "drawn")
    dataset = component(component.Config({settings}))
    records = [Record(f"k{{index}}", None, {{"tall": False}}) for index in range(100)]
    Path(f"started-{{sys.argv[1]}}").touch()
    print(cache_images(dataset, records, 8, instance="i", purpose="w", workers={workers}).digest)
"""


@pytest.fixture
def start(tmp_path, drawn):
    """Starts a script that caches 100 images; processes that still run at the end are killed."""
    running = []

    def start(name: str, settings: str, workers: int, guard: str = "if __name__ == '__main__':"):
        file = tmp_path / f"{name}.py"
        file.write_text(SCRIPT.format(guard=guard, settings=settings, workers=workers))
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, str(file), name], cwd=tmp_path, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        running.append(process)
        return process

    yield start
    for process in running:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and workers that it left
        process.communicate()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited for 20 seconds"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that died and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_second_process_waits_for_the_first(tmp_path, start):
    log, gate = tmp_path / "log", tmp_path / "gate"
    settings = "log=Path('log'), gate=Path('gate')"
    first = start("first", settings, 0)
    until(lambda: pids(log) == {first.pid})
    second = start("second", settings, 0)
    until(lambda: (tmp_path / "started-second").exists())
    time.sleep(0.3)  # room for the second one to do wrong
    gate.touch()
    (one, trouble), (other, more) = first.communicate(timeout=20), second.communicate(timeout=20)
    assert trouble == more == ""
    assert one == other != ""
    assert pids(log) == {first.pid}
    assert len(log.read_text().splitlines()) == 100


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_exit_with_their_parent(tmp_path, cache, drawn, start):
    log = tmp_path / "log"
    parent = start("parent", "log=Path('log'), gate=Path('gate')", 2)
    until(lambda: len(pids(log)) == 2)
    parent.kill()
    parent.wait()
    until(lambda: not any(map(alive, pids(log))))
    assert [name.partition(".")[2] for name in cache_contents(cache)] == ["part"]


def test_interrupt_ends_all_processes_and_leaves_nothing(tmp_path, cache, start):
    log = tmp_path / "log"
    parent = start("parent", "log=Path('log'), gate=Path('gate')", 2)
    until(lambda: len(pids(log)) == 2)
    os.killpg(parent.pid, signal.SIGINT)  # as Ctrl+C does, to the workers too
    time.sleep(0.2)
    (tmp_path / "gate").touch()
    _, trouble = parent.communicate(timeout=20)
    assert trouble.strip().endswith("KeyboardInterrupt")
    assert cache_contents(cache) == []


def test_script_without_main_guard_fails_with_a_message(cache, start):
    process = start("naked", "", 2, guard="if True:")
    _, trouble = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "put what it does under `if __name__ == '__main__':`" in trouble
    assert "a worker process that loads images died" in trouble
    assert cache_contents(cache) == []


def test_workers_do_not_import_torch():
    code = "import sys, mdtranslate.data.cache.store; print(*{'torch', 'mdtranslate.config.schema'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"\n"
