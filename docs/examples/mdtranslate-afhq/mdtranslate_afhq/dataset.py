"""The dataset Animal Faces-HQ."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from mdtranslate import Attribute, Dataset, Record, Split
from mdtranslate.errors import DataError

DOMAINS = ("cat", "dog", "wild")
SUFFIXES = (".jpg", ".png")


class AFHQ(Dataset):
    """Faces of cats, dogs and wild animals at 512 x 512 pixels (Choi et al. 2020, StarGAN v2, section 4).

    Version 1 has `ROOT/train/cat/*.jpg` and `ROOT/val/cat/*.jpg`, version 2 `ROOT/train/cat/*.png` and
    `ROOT/test/cat/*.png`. The second folder of either version is the test split. The val split is a random part of
    `train/`, chosen by the hash of each file name and therefore the same on every machine. If both `val/` and `test/`
    exist, each folder is the split of its name. If neither exists, the test split is empty.
    """

    name = "afhq"

    class Config(Dataset.Config):
        root: Path = Field(description="folder with train/, and val/ or test/ or both")
        val: float = Field(
            0.05, ge=0, le=0.5, description="share of train/ used for validation, unless both val/ and test/ exist"
        )

    attributes = (Attribute("animal", DOMAINS),)
    credit = "Animal Faces-HQ, Choi et al. 2020, CC BY-NC 4.0"

    def records(self, split: Split) -> Iterator[Record]:
        root = self.config.root
        # Determined once for all domains, so that a missing folder of one domain is not replaced by another split.
        folders = {folder for folder in Split if (root / folder).is_dir()}
        if not folders:
            raise DataError(f"{root}: has no folder train, val or test")
        has_all_splits = {Split.VAL, Split.TEST} <= folders
        if has_all_splits or split is Split.TRAIN:
            folder = split
        elif split is Split.TEST:
            folder = Split.VAL if Split.VAL in folders else Split.TEST
        else:
            folder = Split.TRAIN
        for domain in DOMAINS:
            # Names with a leading dot, such as macOS's `._1.jpg`, are not images.
            files = (root / folder / domain).glob("[!.]*")
            for file in sorted(file for file in files if file.suffix.lower() in SUFFIXES):
                random_split = Split.from_hash(f"{domain}/{file.name}", val=self.config.val, test=0.0)
                if has_all_splits or split is Split.TEST or random_split is split:
                    yield Record(f"{folder}/{domain}/{file.name}", file, {"animal": domain})
