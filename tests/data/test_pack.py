"""The packed cache: filled once, for the right reasons, wholly or not at all."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mdtranslate.data.cache import clear, list_packed, verify
from mdtranslate.data.pack import Packed, cache_root, pack
from mdtranslate.data.prepare import Preparation
from mdtranslate.errors import DataError, StorageError
from mdtranslate.interfaces import Crop, Dataset, Record
from mdtranslate.registry import registry, use_files

SIZE = 8


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mdtranslate" / "packed"


class Files(Dataset):
    """Pictures in files; counts what is loaded."""

    name = "files"

    def __init__(self) -> None:
        super().__init__(Dataset.Config())
        self.loaded: list[str] = []

    def records(self, split):
        raise NotImplementedError

    def load(self, record):
        self.loaded.append(record.key)
        return super().load(record)


def pictures(folder: Path, count: int) -> list[Record]:
    generator = np.random.default_rng(count)
    folder.mkdir(exist_ok=True)
    records = []
    for index in range(count):
        file = folder / f"{index}.png"
        Image.fromarray(generator.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(file)
        records.append(Record(f"key-{index}", file, {"Male": index % 2 == 0}))
    return records


def packed(dataset: Dataset, records: list[Record], size: int = SIZE, **options) -> Packed:
    return pack(dataset, records, size, **{"instance": "faces", "what": "train", "workers": 0, **options})


def left_in(cache: Path) -> list[str]:
    return sorted(each.name for each in cache.iterdir() if each.suffix != ".lock") if cache.exists() else []


def test_pictures_hashes_and_description(tmp_path, cache):
    dataset, records, seen = Files(), pictures(tmp_path / "in", 70), []
    result = packed(dataset, records, progress=lambda done, total: seen.append((done, total)))
    expected = np.stack([Preparation(Crop(), SIZE)(Dataset.load(dataset, record)) for record in records])
    assert isinstance(result.pixels, np.memmap)
    assert result.pixels.dtype == np.uint8
    assert np.array_equal(result.pixels, expected)
    assert result.keys == [record.key for record in records]
    hashes = [blake2b(each.tobytes(), digest_size=16).digest() for each in expected]
    assert [bytes(each) for each in result.hashes] == hashes
    assert result.digest == blake2b(b"".join(hashes), digest_size=16).hexdigest()
    with pytest.raises(ValueError, match="read-only"):
        result.pixels[0] = 0
    assert result.path == cache / result.key
    assert left_in(cache) == [result.key]
    assert seen == [(32, 70), (64, 70), (70, 70)]
    meta = json.loads((result.path / "meta.json").read_text())
    assert (meta["dataset"], meta["instance"], meta["what"], meta["count"], meta["size"], meta["crop"]) == (
        *("files", "faces", "train", 70, SIZE),
        {"side": 1.0, "x": 0.5, "y": 0.5},
    )


def test_the_second_time_nothing_is_loaded(tmp_path, cache):
    records = pictures(tmp_path / "in", 5)
    first = packed(Files(), records)
    dataset, seen = Files(), []
    second = packed(dataset, records, progress=lambda done, total: seen.append(done), instance="other", what="val")
    assert not dataset.loaded
    assert not seen
    assert second.key == first.key
    assert second.digest == first.digest
    assert np.array_equal(second.pixels, first.pixels)


def test_labels_and_the_place_of_the_files_never_repack(tmp_path):
    records = pictures(tmp_path / "in", 5)
    packed(Files(), records)
    (tmp_path / "in").rename(tmp_path / "moved")
    moved = [
        Record(record.key, tmp_path / "moved" / record.image.name, {"Young": True, "Male": None}) for record in records
    ]
    dataset = Files()
    packed(dataset, moved)
    assert not dataset.loaded


def touched(records: list[Record]) -> None:
    status = records[2].image.stat()
    os.utime(records[2].image, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


def longer(records: list[Record]) -> None:
    status = records[2].image.stat()
    with records[2].image.open("ab") as file:
        file.write(b"\0")
    os.utime(records[2].image, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [touched, longer])
def test_a_changed_file_repacks(tmp_path, change):
    records = pictures(tmp_path / "in", 5)
    before = packed(Files(), records)
    change(records)
    dataset = Files()
    after = packed(dataset, records)
    assert len(dataset.loaded) == 5
    assert after.key != before.key
    assert after.digest == before.digest, "the pixels are the same, and so is their identity"


def test_version_crop_size_name_keys_and_order_repack(tmp_path):
    records = pictures(tmp_path / "in", 5)

    class Renamed(Files):
        name = "renamed"

    newer, cut = Files(), Files()
    newer.version, cut.crop = "2", Crop(0.9)
    results = [
        packed(Files(), records),
        packed(newer, records),
        packed(cut, records),
        packed(Renamed(), records),
        packed(Files(), records, size=9),
        packed(Files(), records[::-1]),
        packed(Files(), records[:4]),
        packed(Files(), [replace(records[0], key="new"), *records[1:]]),
    ]
    assert len({result.key for result in results}) == len(results)
    assert np.array_equal(results[2].pixels[0], Preparation(Crop(0.9), SIZE)(Files().load(records[0])))
    assert np.array_equal(results[5].pixels, results[0].pixels[::-1])
    assert len(list_packed()) == len(results)


def test_records_without_a_file(tmp_path):
    class Drawn(Files):
        def load(self, record):
            self.loaded.append(record.key)
            return np.full((5, 5, 3), int(record.key), np.uint8)

    records = [Record("3"), Record("200")]
    result = packed(Drawn(), records)
    assert result.pixels[:, 0, 0, 0].tolist() == [3, 200]
    dataset = Drawn()
    packed(dataset, records)
    assert not dataset.loaded


def test_no_records_at_all(tmp_path):
    for _ in range(2):
        result = packed(Files(), [])
        assert result.pixels.shape == (0, SIZE, SIZE, 3)
        assert result.hashes.shape == (0, 16)
        assert result.keys == []
        assert len(result.digest) == 32


def test_a_missing_or_unreadable_picture_is_named(tmp_path, cache):
    records = pictures(tmp_path / "in", 5)
    records[3].image.write_bytes(records[3].image.read_bytes()[:100])
    with pytest.raises(DataError, match=r"^.*in/3\.png: cannot be decoded"):
        packed(Files(), records)
    records[4].image.unlink()
    with pytest.raises(DataError, match=r"^.*in/4\.png: no such file or directory \(record 'key-4' of files\)$"):
        packed(Files(), records)
    assert left_in(cache) == []


@pytest.mark.parametrize(
    ("wrong", "came"),
    [
        (np.zeros((4, 4, 3), np.float32), r"float32 \[4, 4, 3\]"),
        (np.zeros((4, 4), np.uint8), r"uint8 \[4, 4\]"),
        (np.zeros((3, 4, 4), np.uint8), r"uint8 \[3, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"uint8 \[0, 4, 3\]"),
        (None, "NoneType"),
    ],
)
def test_load_must_give_pictures(wrong, came, cache):
    class Wrong(Files):
        def load(self, record):
            return wrong

    with pytest.raises(DataError, match=rf"'files', record 'a': load\(\) gave {came}, not uint8 \[H, W, 3\]$"):
        packed(Wrong(), [Record("a")])
    assert left_in(cache) == []


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (ZeroDivisionError("a\nb"), DataError, "^dataset 'files' cannot load record 'key-40': ZeroDivisionError: a b$"),
        (OSError(28, "No space left"), DataError, "cannot load record 'key-40': OSError"),
        (DataError("as it is"), DataError, "^as it is$"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (SystemExit(3), SystemExit, "3"),
    ],
)
def test_a_failure_midway_leaves_nothing(tmp_path, cache, raised, expected, message):
    class Failing(Files):
        def load(self, record):
            if record.key == "key-40":
                assert len(left_in(cache)) == 1, "nothing was being written"
                raise raised
            return super().load(record)

    records = pictures(tmp_path / "in", 45)
    with pytest.raises(expected, match=message):
        packed(Failing(), records)
    assert left_in(cache) == []
    dataset = Files()
    packed(dataset, records)
    assert len(dataset.loaded) == 45


def test_a_failing_progress_leaves_nothing(tmp_path, cache):
    def progress(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed(Files(), pictures(tmp_path / "in", 3), progress=progress)
    assert left_in(cache) == []


def truncated(entry: Path) -> None:
    os.truncate(entry / "pixels.npy", 200)


def without_hashes(entry: Path) -> None:
    (entry / "hashes.npy").unlink()


def garbled(entry: Path) -> None:
    (entry / "pixels.npy").write_bytes(b"garbage" * 1000)


@pytest.mark.parametrize("damage", [truncated, without_hashes, garbled])
def test_a_damaged_entry_is_packed_anew(tmp_path, cache, damage):
    records = pictures(tmp_path / "in", 5)
    before = packed(Files(), records)
    digest = before.digest
    damage(before.path)
    dataset = Files()
    assert packed(dataset, records).digest == digest
    assert len(dataset.loaded) == 5
    assert left_in(cache) == [before.key]


def test_too_small_a_disk_is_said_before_starting(tmp_path, cache, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=999))
    dataset = Files()
    with pytest.raises(StorageError, match=r"packed: faces \(train\) needs 1,040 bytes, and 999 are free$"):
        packed(dataset, pictures(tmp_path / "in", 5))
    assert not dataset.loaded
    assert left_in(cache) == []


@contextmanager
def small_files():
    """Writing past 8000 bytes of a file fails, as on a full disk; no fixture, since pytest's own log is a file too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_midway_leaves_nothing(tmp_path, cache):
    records = pictures(tmp_path / "in", 45)
    message = r"9,360 bytes for faces \(train\) cannot be written: File too large$"
    with small_files(), pytest.raises(StorageError, match=message):
        packed(Files(), records)
    assert left_in(cache) == []


def test_a_cache_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"file/mdtranslate/packed: .* cannot be written: Not a directory"):
        packed(Files(), pictures(tmp_path / "in", 1))


def test_cache_root(monkeypatch, tmp_path, cache):
    assert cache_root() == cache
    for unusable in ("", "relative"):  # as the XDG specification says
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert cache_root().is_absolute()
        assert cache_root().parts[-2:] == ("mdtranslate", "packed")


def test_verify_finds_what_changed_on_the_disk(tmp_path, cache):
    entry = packed(Files(), pictures(tmp_path / "in", 5))
    (info,) = list_packed()
    assert verify(info) == []
    file = entry.path / "pixels.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert verify(info) == [4]
    (entry.path / "hashes.npy").write_bytes(b"")
    assert verify(info) == [-1]


def test_list_and_clear(tmp_path, cache):
    assert list_packed() == []
    records = pictures(tmp_path / "in", 5)
    old = packed(Files(), records)
    new = packed(Files(), records, size=16, what="val")
    for entry, when in ((old, 1_000_000_000), (new, 1_100_000_000)):
        os.utime(entry.path / "meta.json", (when, when))
    newest, oldest = list_packed()
    assert (newest.path, newest.dataset, newest.instance, newest.what) == (new.path, "files", "faces", "val")
    assert (newest.count, newest.size) == (5, 16)
    assert newest.bytes == sum(file.stat().st_size for file in new.path.iterdir()) > 5 * 16 * 16 * 3
    assert abs(newest.created.timestamp() - time.time()) < 600
    packed(Files(), records)
    assert [info.path for info in list_packed()] == [old.path, new.path], "the last used comes first"

    assert clear([oldest]) == oldest.bytes
    assert clear([oldest]) == 0
    assert [info.path for info in list_packed()] == [new.path]
    assert left_in(cache) == [new.key]
    assert old.pixels[0].any(), "an open entry keeps its pictures"
    dataset = Files()
    assert packed(dataset, records).digest == old.digest
    assert len(dataset.loaded) == 5


def test_an_entry_that_cannot_be_understood_is_listed_and_cleared(tmp_path, cache):
    entry = packed(Files(), pictures(tmp_path / "in", 5))
    (entry.path / "meta.json").write_text("{")
    (info,) = list_packed()
    assert (info.path, info.dataset, info.count) == (entry.path, "?", 0)
    assert clear([info]) == info.bytes > 0
    assert left_in(cache) == []


@pytest.mark.parametrize("place", ["../../precious", "..", "entry/../../../precious", "{key}.lock"])
def test_clear_removes_nothing_else(tmp_path, cache, place):
    entry = packed(Files(), pictures(tmp_path / "in", 1))
    (info,) = list_packed()
    precious = tmp_path / "cache" / "precious"
    precious.mkdir()
    with pytest.raises(ValueError, match="is not in"):
        clear([replace(info, path=cache / place.format(key=entry.key))])
    assert precious.exists()
    assert left_in(cache) == [entry.key]


# What follows runs real worker processes, which know the dataset from a plugin file.

PLUGIN = """
import os, time
from pathlib import Path
import numpy as np
from mdtranslate.hookspecs import hookimpl
from mdtranslate.errors import DataError
from mdtranslate.interfaces import Dataset, Record

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
    use_files((plugin,))

    def make(**settings) -> Dataset:
        component = registry().component("dataset", "drawn")
        return component(component.Config(**settings))

    yield make
    use_files(())


class Lazy(dict):
    """Attributes that do not travel to another process."""

    def __reduce__(self):
        raise TypeError("stays here")


def numbered(count: int) -> list[Record]:
    return [Record(f"k{index}", None, Lazy(tall=index % 2 == 0)) for index in range(count)]


def pids(log: Path) -> set[int]:
    return {int(line.split()[0]) for line in log.read_text().splitlines()} if log.exists() else set()


def test_workers_give_the_same_bytes(tmp_path, drawn):
    alone = packed(drawn(shade=100), numbered(100))
    pixels, digest = alone.pixels.copy(), alone.digest
    assert pixels.min() >= 100, "the setting is used"
    clear(list_packed())
    seen = []
    log = tmp_path / "log"
    together = packed(
        drawn(shade=100, log=log), numbered(100), workers=2, progress=lambda done, total: seen.append((done, total))
    )
    assert os.getpid() not in pids(log), "no worker was used"
    assert np.array_equal(together.pixels, pixels)
    assert together.digest == digest
    assert seen == [(32, 100), (64, 100), (96, 100), (100, 100)]


def test_few_records_or_an_unregistered_dataset_need_no_workers(tmp_path, drawn):
    log = tmp_path / "log"
    packed(drawn(log=log), numbered(63), workers=None)
    assert pids(log) == {os.getpid()}
    base = registry().component("dataset", "drawn")

    class Throwaway(base):
        name = "drawn"
        version = "throwaway"

    packed(Throwaway(base.Config(log=log)), numbered(100), workers=2)
    assert pids(log) == {os.getpid()}


def test_a_plugin_in_memory_needs_no_workers(tmp_path):
    class Plugin:
        from mdtranslate.hookspecs import hookimpl

        @hookimpl
        def register_datasets(self):
            return [Files]

    use_files(())
    try:
        registry().register(Plugin(), "memory")
        dataset = Files()
        packed(dataset, pictures(tmp_path / "in", 40), workers=2)
        assert len(dataset.loaded) == 40
    finally:
        use_files(())


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        ("odd", "^record k50 is odd$"),
        ("bug", "^dataset 'drawn' cannot load record 'k50': KeyError: 'k50'$"),
        ("die", "^dataset 'drawn': a process that loads pictures died, .*data.workers=0[^\n]*$"),
    ],
)
def test_failures_of_workers_arrive_and_leave_nothing(cache, drawn, fail, message):
    with pytest.raises(DataError, match=message):
        packed(drawn(fail=fail), numbered(100), workers=2)
    assert left_in(cache) == []


def test_a_dataset_that_a_worker_cannot_make_is_named(tmp_path, cache, drawn):
    dataset = drawn()
    (tmp_path / "drawn_plugin.py").write_text("raise RuntimeError('changed')")
    with pytest.raises(DataError, match=r"^dataset 'drawn' cannot be made in a worker process: .*changed"):
        packed(dataset, numbered(100), workers=2)
    assert left_in(cache) == []


def test_a_disk_that_fills_up_under_workers_leaves_nothing(cache, drawn):
    with small_files(), pytest.raises(StorageError, match="cannot be written: File too large"):
        packed(drawn(), numbered(100), workers=2)
    assert left_in(cache) == []


SCRIPT = """
import sys
from pathlib import Path
from mdtranslate.data.pack import pack
from mdtranslate.interfaces import Record
from mdtranslate.registry import registry, use_files
{guard}
    use_files((Path("drawn_plugin.py"),))
    component = registry().component("dataset", "drawn")
    dataset = component(component.Config({settings}))
    records = [Record(f"k{{index}}", None, {{"tall": False}}) for index in range(100)]
    Path(f"started-{{sys.argv[1]}}").touch()
    print(pack(dataset, records, 8, instance="i", what="w", workers={workers}).digest)
"""


@pytest.fixture
def start(tmp_path, drawn):
    """Starts a script of its own that packs 100 pictures; those that still run in the end are killed."""
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


def test_of_two_packers_one_packs_and_the_other_waits(tmp_path, start):
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
def test_workers_die_with_their_parent_and_what_it_left_is_swept(tmp_path, cache, drawn, start):
    log = tmp_path / "log"
    parent = start("parent", "log=Path('log'), gate=Path('gate')", 2)
    until(lambda: len(pids(log)) == 2)
    parent.kill()
    parent.wait()
    until(lambda: not any(map(alive, pids(log))))
    assert [name.partition(".")[2] for name in left_in(cache)] == [f"tmp-{parent.pid}"]
    other = packed(drawn(), numbered(3))
    assert left_in(cache) == [other.key]


def test_an_interrupt_ends_packer_and_workers_and_leaves_nothing(tmp_path, cache, start):
    log = tmp_path / "log"
    parent = start("parent", "log=Path('log'), gate=Path('gate')", 2)
    until(lambda: len(pids(log)) == 2)
    os.killpg(parent.pid, signal.SIGINT)  # as Ctrl+C does, to the workers too
    time.sleep(0.2)
    (tmp_path / "gate").touch()
    _, trouble = parent.communicate(timeout=20)
    assert trouble.strip().endswith("KeyboardInterrupt")
    assert left_in(cache) == []


def test_a_script_without_a_main_guard_is_told_so_and_does_not_hang(cache, start):
    process = start("naked", "", 2, guard="if True:")
    _, trouble = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "put what it does under `if __name__ == '__main__':`" in trouble
    assert "a process that loads pictures died" in trouble
    assert left_in(cache) == []


def test_workers_need_no_torch():
    code = "import sys, mdtranslate.data.pack; print(*{'torch', 'mdtranslate.config'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"\n"
