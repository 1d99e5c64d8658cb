"""Copies as many images of CelebA as fit into a few megabytes, for a GPU machine that files must be sent to.

python benchmarks/gpu/pack.py CELEBA OUT --megabytes 60

OUT has the layout of CELEBA: `img_align_celeba`, stronger compressed JPEG files, and the two lists, with the rows of
these images only. Two thirds of the images are of the train split, the others of val and test.
"""

from __future__ import annotations

import argparse
import io
import random
from itertools import zip_longest
from pathlib import Path

from PIL import Image

QUALITY = 60
LABELS, PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"


def main() -> None:
    """Writes the images in random order until the size is reached, then the lists."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("celeba", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--megabytes", type=float, default=60)
    arguments = parser.parse_args()
    source, target = (folder / "img_align_celeba" for folder in (arguments.celeba, arguments.out))
    target.mkdir(parents=True)
    rows = dict(line.split() for line in (arguments.celeba / PARTITION).read_text().splitlines())
    names = [name for name in rows if (source / name).exists()]
    random.Random(0).shuffle(names)
    train = [name for name in names if rows[name] == "0"]
    others = [name for name in names if rows[name] != "0"]
    free, kept = arguments.megabytes * 1e6, set[str]()
    for group in zip_longest(train[::2], train[1::2], others):
        for name in filter(None, group):
            data = io.BytesIO()
            Image.open(source / name).convert("RGB").save(data, "JPEG", quality=QUALITY, optimize=True)
            free -= len(data.getbuffer())
            if free < 0:
                break
            (target / name).write_bytes(data.getvalue())
            kept.add(name)
        if free < 0:
            break
    _, header, *labels = (arguments.celeba / LABELS).read_text().splitlines()
    labels = [line for line in labels if line.split(maxsplit=1)[0] in kept]
    (arguments.out / LABELS).write_text("\n".join([str(len(labels)), header, *labels]) + "\n")
    (arguments.out / PARTITION).write_text("".join(f"{name} {rows[name]}\n" for name in sorted(kept)))
    print(f"{len(kept):,} images in {arguments.out}")


if __name__ == "__main__":
    main()
