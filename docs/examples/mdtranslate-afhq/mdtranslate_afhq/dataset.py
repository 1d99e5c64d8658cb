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
    `ROOT/test/cat/*.png`. The second folder holds its test pictures; the val split is drawn from `train/`, each picture
    by its name alone, so that it stays in its split on every machine. Where `val/` and `test/` are both there, each is
    what it is called and nothing is drawn. Without either the test split is empty.
    """

    name = "afhq"

    class Config(Dataset.Config):
        root: Path = Field(description="folder with train/, and val/ or test/ or both")
        val: float = Field(
            0.05,
            ge=0,
            le=0.5,
            description="share of train/ that is looked at while training, unless val/ and test/ are both there",
        )

    attributes = (Attribute("animal", DOMAINS),)
    credit = "Animal Faces-HQ, Choi et al. 2020, CC BY-NC 4.0"

    def records(self, split: Split) -> Iterator[Record]:
        root = self.config.root
        there = {each for each in Split if (root / each).is_dir()}
        if not there:
            raise DataError(f"{root}: has no folder train, val or test")
        # Looked at once for all domains: what one of them lacks is not made up from elsewhere.
        whole = {Split.VAL, Split.TEST} <= there
        if whole or split is Split.TRAIN:
            home = split
        elif split is Split.TEST:
            home = Split.VAL if Split.VAL in there else Split.TEST
        else:
            home = Split.TRAIN
        for domain in DOMAINS:
            # macOS leaves `._1.jpg` beside 1.jpg, which is no picture.
            files = (root / home / domain).glob("[!.]*")
            for file in sorted(each for each in files if each.suffix.lower() in SUFFIXES):
                drawn = Split.drawn(f"{domain}/{file.name}", val=self.config.val, test=0.0)
                if whole or split is Split.TEST or drawn is split:
                    yield Record(f"{home}/{domain}/{file.name}", file, {"animal": domain})
