"""Animal Faces-HQ, from its files."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from mdtranslate import Attribute, Dataset, Record, Split
from mdtranslate.errors import DataError

DOMAINS = ("cat", "dog", "wild")
SUFFIXES = (".jpg", ".png")


class AFHQ(Dataset):
    """Faces of cats, dogs and wild animals at 512 pixels (Choi et al. 2020, StarGAN v2, section 4).

    Version 1 has `ROOT/train/cat/*.jpg` and `ROOT/val/cat/*.jpg`, version 2 `ROOT/train/cat/*.png` and
    `ROOT/test/cat/*.png`. The second folder holds its test pictures; the val split is drawn from `train`.
    """

    name = "afhq"

    class Config(Dataset.Config):
        root: Path = Field(description="folder with train/, and val/ or test/")
        val: float = Field(0.05, ge=0, le=0.5, description="share of train/ that is looked at while training")

    attributes = (Attribute("animal", DOMAINS),)
    credit = "Animal Faces-HQ, Choi et al. 2020, CC BY-NC 4.0"

    def records(self, split: Split) -> Iterator[Record]:
        for domain in DOMAINS:
            for file in self._files(split, domain):
                # Which pictures are looked at hangs on their names alone: the same on every machine.
                drawn = Split.drawn(f"{domain}/{file.name}", val=self.config.val, test=0.0)
                if split is Split.TEST or drawn is split:
                    yield Record(f"{file.parent.parent.name}/{domain}/{file.name}", file, {"animal": domain})

    def _files(self, split: Split, domain: str) -> list[Path]:
        root = self.config.root
        names = ("val", "test") if split is Split.TEST else ("train",)
        folders = [root / name / domain for name in names if (root / name / domain).is_dir()]
        if not folders:
            raise DataError(f"{root}: has no folder {' or '.join(f'{name}/{domain}' for name in names)}")
        return sorted(file for file in folders[0].iterdir() if file.suffix.lower() in SUFFIXES)
