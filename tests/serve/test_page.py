"""The page in a real browser: a picture, a change, its translation; nothing leaves the machine, nothing complains."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from chromium import BROWSER, Page, browsing
from PIL import Image
from served import Served, mute, png, serving
from tiny import BOTH, tiny_translator

from mdtranslate import Attribute, Translator
from mdtranslate.serve.demo import Demo
from mdtranslate.utils.image_io import read_image

pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")

QUIET = "!document.querySelector('#says').textContent"
SHOWN = f"{QUIET} && !document.querySelector('#translated').hidden && document.querySelector('#translated').src"
STRIP = f"{QUIET} && document.querySelectorAll('#strip a[href]').length"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browsing(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """A page whose test ends with everything asked of this machine alone, and nothing to complain about."""
    browser.asked.clear()
    browser.complaints.clear()
    browser.show(1200, 900)
    yield browser
    browser.run("0")  # What has happened until here is heard before its answer.
    assert browser.asked and not [
        each for each in browser.asked if not each.startswith(("http://127.0.0.1:", "data:image/png;base64,", "data:,"))
    ]
    assert browser.complaints == []


@pytest.fixture(scope="module")
def served(run: Path) -> Iterator[Served]:
    with serving(Demo(Translator.load(run), run)) as served:
        yield served


def text(page: Page, selector: str) -> str:
    content: str = page.run(f"document.querySelector({selector!r}).innerText")
    return content


def test_a_sample_is_shown_at_once_and_edits_are_shown(page: Page, served: Served, tmp_path: Path) -> None:
    page.open(served.address)
    assert page.wait(STRIP) == 5  # Three colours of hair, and the opposite of two that are yes or no.
    known = served.demo.samples[0].known
    every = served.demo.translator.all_edits(read_image(BytesIO(served.demo.samples[0].png)), source=known)
    shown = page.run("[...document.querySelectorAll('#strip a')].map((each) => [each.innerText.trim(), each.href])")
    assert [name for name, _ in shown] == [*every]
    for name, address in shown:
        translated = np.asarray(Image.open(BytesIO(b64decode(address.partition(",")[2]))))
        assert np.abs(translated.astype(int) - np.asarray(every[name])).max() <= 1  # Of a batch of another size.
    other = next(each for each in ("Black_Hair", "Blond_Hair", "Brown_Hair") if each != known["hair"])
    page.run(f"document.querySelector('input[value={other}]').click()")
    first = page.wait(SHOWN)
    assert first.startswith("data:image/png;base64,") and text(page, "#edit") == f"hair={other}"
    page.run("document.querySelector('[role=switch][aria-label=Eyeglasses]').click()")
    second = page.wait(
        f"{SHOWN} && document.querySelector('#edit').innerText.includes('Eyeglasses')"
        " && document.querySelector('#translated').src"
    )
    assert second != first
    link = "document.querySelector('#download')"
    assert page.run(f"{link}.href") == second
    turned = "no" if known["Eyeglasses"] == "yes" else "yes"
    assert page.run(f"{link}.download") == f"test-000000.hair={other},Eyeglasses={turned}.png"
    assert page.run("document.querySelector('#strip a').download") == "test-000000.hair=Black_Hair.png"
    page.run("document.querySelector('#reset').click()")
    page.wait("document.querySelector('#translated').hidden")
    assert text(page, "#facts").startswith("Recipe") and "mdtranslate evaluate" in text(page, "#note")
    assert page.run("document.querySelector('#error').hidden")
    assert np.asarray(Image.open(page.shot(tmp_path / "page.png"))).std() > 10


def test_an_uploaded_image(page: Page, served: Served, tmp_path: Path) -> None:
    page.open(served.address)
    page.wait(STRIP)
    before = page.run("document.querySelector('#original').src")
    (tmp_path / "my photo.png").write_bytes(png())
    page.choose("#file", tmp_path / "my photo.png")
    page.wait(f"{STRIP} && document.querySelector('#original').src !== {before!r}")
    assert page.run("document.querySelector('#strip a').download").startswith("my-photo.hair=")
    assert page.run("document.querySelectorAll('#samples [aria-pressed=true]').length") == 0
    # What was inferred can be put right, and is then the picture's own.
    page.run("""(() => { const is = document.querySelector('select[aria-label$=" hair"]');
      is.value = 'Brown_Hair'; is.dispatchEvent(new Event('change')); })()""")
    page.wait(f"{STRIP} && document.querySelector('input[value=Brown_Hair]').checked")


def test_the_keyboard_is_enough(page: Page, served: Served) -> None:
    page.open(served.address)
    page.wait(STRIP)
    page.run("document.querySelector('#reset').focus()")
    page.run("document.querySelector('input[type=radio]:checked').focus()")
    page.press("ArrowRight", 39)
    first = page.wait(SHOWN)
    page.press("Tab", 9)
    page.press("Tab", 9)
    assert page.run("document.activeElement.getAttribute('role')") == "switch"
    page.press(" ", 32, " ")
    page.wait(f"{SHOWN} && document.querySelector('#translated').src !== {first!r}")


def test_a_file_that_is_no_image_is_one_line(page: Page, served: Served, tmp_path: Path) -> None:
    page.open(served.address)
    page.wait(STRIP)
    (tmp_path / "words.png").write_text("words")
    page.choose("#file", tmp_path / "words.png")
    page.wait(f"{QUIET} && !document.querySelector('#error').hidden && document.querySelector('#work').hidden")
    assert text(page, "#error").startswith("image: ")
    # The browser says itself that the answer was a refusal.
    assert len(page.complaints) == 1 and "415" in page.complaints.pop()
    (tmp_path / "large.png").write_bytes(bytes(10_000_001))
    page.choose("#file", tmp_path / "large.png")
    page.wait("document.querySelector('#error').innerText.includes('large.png has 10.0 MB')")
    page.run("document.querySelectorAll('#samples button')[3].click()")
    page.wait(f"{STRIP} && document.querySelector('#error').hidden && !document.querySelector('#work').hidden")


def dropped(files: str) -> str:
    """What drops files on the page, as a desktop does."""
    return f"""(() => {{ const dropped = new DataTransfer();
      for (const file of {files}) dropped.items.add(file);
      document.body.dispatchEvent(
        new DragEvent('drop', {{ dataTransfer: dropped, bubbles: true, cancelable: true }})); }})()"""


def test_a_dropped_image(page: Page, served: Served) -> None:
    page.open(served.address)
    page.wait(STRIP)
    before = page.run("document.querySelector('#original').src")
    content = b64encode(png()).decode()
    page.run(dropped(f"[new File([Uint8Array.from(atob('{content}'), (each) => each.charCodeAt())], 'my.photo.png')]"))
    page.wait(f"{STRIP} && document.querySelector('#original').src !== {before!r}")
    assert page.run("document.querySelector('#strip a').download").startswith("my.photo.hair=")
    page.run(dropped("[]"))  # Such as a text, or a picture of another page.
    page.wait("document.querySelector('#error').innerText.startsWith('This is not a file')")


def test_a_file_that_changes_on_the_disk_stays_what_was_chosen(page: Page, served: Served, tmp_path: Path) -> None:
    page.open(served.address)
    page.wait(STRIP)
    before = page.run("document.querySelector('#original').src")
    file = tmp_path / "a.png"
    file.write_bytes(png())
    page.choose("#file", file)
    page.wait(f"{STRIP} && document.querySelector('#original').src !== {before!r}")
    file.write_bytes(png(1, 50, 50))
    page.run("document.querySelector('[role=switch][aria-label=Eyeglasses]').click()")
    page.wait(SHOWN)
    assert page.run("document.querySelector('#error').hidden")
    page.run("Blob.prototype.arrayBuffer = () => Promise.reject(new Error('gone'))")
    page.choose("#file", file)
    page.wait("document.querySelector('#error').innerText === 'a.png cannot be read.'")


def test_attributes_that_are_called_as_parts_of_javascript(page: Page, tmp_path: Path) -> None:
    names = ("constructor", "__proto__", "toString")
    with serving(Demo(tiny_translator({"toys": tuple(map(Attribute, names))}), tmp_path)) as served:
        page.open(served.address)
        page.wait("document.querySelector('#note').innerText")
        (tmp_path / "a.png").write_bytes(png())
        page.choose("#file", tmp_path / "a.png")
        assert page.wait(STRIP) == len(names)
        assert page.run("document.querySelectorAll('fieldset.changed').length") == 0
        for name in names:
            page.run(f"document.querySelector('[role=switch][aria-label={name}]').click()")
        page.wait(f"{SHOWN} && document.querySelector('#edit').innerText.split(', ').length === {len(names)}")
        assert page.run("document.querySelectorAll('fieldset.changed').length") == len(names)
        page.run("""(() => { const is = document.querySelector('select[aria-label$=" __proto__"]');
          is.value = is.value === 'yes' ? 'no' : 'yes'; is.dispatchEvent(new Event('change')); })()""")
        page.wait(f"{SHOWN} && document.querySelectorAll('fieldset.changed').length === {len(names) - 1}")


def test_several_datasets(page: Page, tmp_path: Path) -> None:
    with serving(Demo(tiny_translator(BOTH), tmp_path)) as served:
        page.open(served.address)
        page.wait("document.querySelector('#note').innerText")
        assert "without its run" in text(page, "#missing") and page.run("document.querySelector('#work').hidden")
        (tmp_path / "a.png").write_bytes(png())
        page.choose("#file", tmp_path / "a.png")
        everything = page.wait(STRIP)
        page.run("document.querySelector('input[value=Blond_Hair]').click()")
        page.run("document.querySelector('input[value=sad]').click()")
        page.wait(f"{SHOWN} && document.querySelector('#edit').innerText === 'hair=Blond_Hair, mood=sad'")
        page.run(
            "(() => { const of = document.querySelector('#dataset'); of.value = 'rafd';"
            " of.dispatchEvent(new Event('change')); })()"
        )
        assert page.wait(f"document.querySelectorAll('#strip a').length < {everything} && {STRIP}") == 4


def test_the_page_requires_attributes_that_cannot_be_inferred(page: Page, tmp_path: Path) -> None:
    with serving(Demo(mute(), tmp_path)) as served:
        page.open(served.address)
        page.wait("document.querySelector('#note').innerText")
        (tmp_path / "a.png").write_bytes(png())
        page.choose("#file", tmp_path / "a.png")
        page.wait(f"{QUIET} && !document.querySelector('#ask').hidden")
        assert "hair, Eyeglasses, Male" in text(page, "#ask")
        assert page.run("document.querySelectorAll('#controls input:enabled').length") == 0
        for name, value in (("hair", "Black_Hair"), ("Eyeglasses", "no"), ("Male", "yes")):
            page.run(f"""(() => {{ const is = document.querySelector('select[aria-label$=" {name}"]');
              is.value = '{value}'; is.dispatchEvent(new Event('change')); }})()""")
            page.wait(QUIET)
        page.wait(f"document.querySelector('#ask').hidden && {STRIP}")
        page.run("document.querySelector('[role=switch][aria-label=Male]').click()")
        page.wait(SHOWN)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_window(page: Page, served: Served, tmp_path: Path, scheme: str) -> None:
    page.show(400, 400, scheme)
    page.open(served.address)
    page.wait(STRIP)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    ground = np.asarray(Image.open(page.shot(tmp_path / "page.png")).convert("L"))[:4].mean()
    assert ground > 200 if scheme == "light" else ground < 60
    # The pictures stay in sight of the controls.
    page.run("document.querySelector('fieldset:last-child').scrollIntoView({block: 'end'})")
    assert page.run("scrollY > 100 && Math.abs(document.querySelector('#pictures').getBoundingClientRect().top) < 2")
