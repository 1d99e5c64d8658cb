"""A recipe's model: what the tables of a recipe are, each setting typed, bounded and described."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, ValidationInfo, field_validator, model_validator

from mdtranslate.api import Dataset, Discriminator, Generator, LabelEncoder, Loss, Metric, Settings
from mdtranslate.config.choice import Choice
from mdtranslate.errors import nearest

GROUPS = ("datasets", "losses", "metrics")
"""Tables of components by instance: the key of an instance is its name where it has no other."""


class Data(Settings):
    """How pictures become batches."""

    image_size: int = Field(128, ge=8, le=4096, description="side of the pictures that networks see, in pixels")
    load_size: int | None = Field(
        None, ge=8, le=4096, description="side at which pictures are cached; above image_size it gives random crops"
    )
    batch_size: int = Field(16, ge=1, le=65_536, description="pictures per step")
    flip: bool = Field(True, description="mirror half of the training pictures left to right")
    augment: tuple[dict[str, Any], ...] = Field(
        (),
        description="transforms of albumentations that training pictures go through, each a table of its name and "
        'arguments: [{name="ColorJitter", hue=0.1, p=0.5}]',
    )
    balance: Literal["none", "dataset", "domain"] = Field(
        "none", description="draw every picture equally often, or pictures of every dataset, or of every domain"
    )
    targets: Literal["permute", "one-edit", "other", "pairs", "paired"] = Field(
        "permute",
        description="target labels: the batch's own, permuted (StarGAN; with several datasets, those of other pictures "
        "of the same one); the source with one attribute changed; any domain but the picture's own; pairs: two values "
        "of one attribute in each step, half of its pictures each (CycleGAN); or paired: an edit of which the dataset "
        "knows the true picture (pix2pix)",
    )
    across: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of pictures whose target is a label of another dataset, where there are several; StarGAN's "
        "authors kept to the picture's own",
    )
    unreadable: Literal["stop", "skip"] = Field(
        "stop",
        description="what a picture that cannot be read does: it stops the run, or is left out and listed in "
        "left_out.txt, as long as such pictures are 5 % at most",
    )
    workers: int | None = Field(None, ge=0, description="processes that fill the cache; one per core if left out")

    @model_validator(mode="after")
    def _room_to_crop(self) -> Data:
        if self.load_size is not None and self.load_size < self.image_size:
            raise ValueError(f"load_size {self.load_size} is smaller than image_size {self.image_size}")
        return self

    @model_validator(mode="after")
    def _halves(self) -> Data:
        if self.targets == "pairs" and self.batch_size % 2:
            raise ValueError(f"batch_size {self.batch_size}: targets=pairs needs an even one, half of each domain")
        if self.targets == "pairs" and self.balance != "none":
            raise ValueError(f"balance={self.balance}: targets=pairs draws from each domain equally often already")
        if self.targets in ("pairs", "paired") and self.across:
            raise ValueError(f"across={self.across}: targets={self.targets} has no targets of other datasets")
        return self

    @property
    def note(self) -> str | None:
        """A line about sizes that hardly anyone means, for a run to say: crops that show little of their picture."""
        share = (self.image_size / self.cached_size) ** 2
        if share > 0.1:
            return None
        return (
            f"data.load_size={self.cached_size} for data.image_size={self.image_size}: each crop shows {share:.0%} of "
            "its picture; a smaller load_size shows more"
        )

    @property
    def cached_size(self) -> int:
        """Side of the pictures in the cache."""
        return self.load_size or self.image_size


class Train(Settings):
    """How long, how often, and what is kept."""

    steps: PositiveInt = Field(200_000, description="batches to train on; each updates the discriminator once")
    critic_steps: PositiveInt = Field(5, description="discriminator updates for each update of the generator")
    seed: int = Field(0, ge=0, lt=2**63, description="of weights, order, flips, targets and everything else drawn")
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="decay of an exponential moving average of the generator, per generator update (bias corrected)",
    )
    init: str | None = Field(
        None,
        description="a run whose weights to start from; what depends on the domains starts anew where those differ",
    )
    log_every: PositiveInt = Field(100, description="steps from one line of log.jsonl to the next")
    check_every: int = Field(
        500,
        ge=0,
        description="steps from one look at held-out pictures to the next: whether edits are seen, whether the output "
        "depends on the target; 0: never",
    )
    sample_every: PositiveInt = Field(1_000, description="steps from one sample grid to the next")
    save_every: PositiveInt = Field(1_000, description="steps from one checkpoint to the next")
    keep: int = Field(2, ge=1, description="checkpoints that are kept, the newest")
    sample_pictures: int = Field(8, ge=1, le=64, description="rows of a sample grid")
    on_nonfinite: Literal["skip", "stop"] = Field(
        "skip",
        description="what to do where a loss or gradient is not finite: skip the update, and stop after 100 in a row; "
        "or stop at once. No weight takes the value",
    )
    deterministic: bool = Field(
        False,
        description="use deterministic algorithms, so that repeated runs on the same GPU are bit-identical (slower); "
        "not needed on CPUs",
    )
    tensorboard: bool = Field(False, description="write the losses and samples for TensorBoard too")
    precision: Literal["auto", "fp32", "tf32", "bf16"] = Field(
        "auto",
        description="arithmetic of the networks: tf32 is of NVIDIA's GPUs; bf16 keeps weights, penalties and losses in "
        "float32; auto is bf16 on GPUs that have it, else fp32",
    )

    accumulate: PositiveInt = Field(
        1,
        description="parts of a batch that are computed one after the other, for gradients of the whole in less memory",
    )
    checkpointing: bool = Field(
        False, description="compute the generator's inner values anew on the way back: slower, in less memory"
    )

    compile: bool | Literal["graphs"] = Field(
        False,
        description="make each update a graph first (torch.compile); graphs: replay them as CUDA graphs, too, "
        "meant for small batches on NVIDIA's GPUs",
    )

    @model_validator(mode="after")
    def _generator_trains(self) -> Train:
        if self.critic_steps > self.steps:
            raise ValueError(f"critic_steps {self.critic_steps} is more than steps {self.steps}: no generator update")
        return self


class Judging(Settings):
    """The classifier that says what pictures show, and how it is trained on real ones.

    After each round it is tried on the val split; the best is kept.
    """

    model: str = Field("resnet18", description="network: timm.list_models() has all names")
    weights: Path | None = Field(
        None,
        description="file of its first weights, as torch.save writes a state_dict of timm; random ones if left out",
    )
    rounds: int = Field(4, ge=1, description="rounds of training")
    least: int = Field(2_000, ge=1, description="pictures of a round: all of the train split, but at least so many")
    most: int = Field(20_000, ge=1, description="pictures of a round at most")
    batch_size: int = Field(32, ge=2, description="pictures per step")
    learning_rate: float = Field(2e-3, gt=0, description="largest step size of AdamW, in one cycle")
    weight_decay: float = Field(0.05, ge=0, description="of AdamW")
    shift: float = Field(1 / 16, ge=0, lt=1, description="pictures are moved by up to this part of their side")
    flip: bool | None = Field(None, description="mirror half of the pictures; as data.flip has it if left out")

    @field_validator("model", mode="after")
    @classmethod
    def _there(cls, model: str) -> str:
        if model != cls.model_fields["model"].default:  # timm takes a second to import.
            import timm

            if not timm.is_model(model):
                raise ValueError(f"timm has no network {model!r}; {nearest(model, timm.list_models())}")
        return model


class Evaluation(Settings):
    """How translations are judged."""

    judge: Judging = Field(
        default_factory=lambda: Judging.model_validate({}), description="the classifier that says what pictures show"
    )
    together: int = Field(1, ge=1, le=6, description="attributes that an edit changes at once, at most")


class Optimizer(Settings):
    """Adam (Kingma and Ba 2015) for one network."""

    learning_rate: float = Field(1e-4, gt=0, description="step size at the start")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.5, 0.999), description="decay of the averages of the gradient and of its square"
    )
    decay_from: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the steps after which the rate falls evenly, to zero at the end; 1: never",
    )

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of `step` (from 0) out of `steps`."""
        start = self.decay_from * steps
        return self.learning_rate * min(1.0, (steps - step) / max(steps - start, 1.0))


class Optimizers(Settings):
    """One optimizer per network."""

    generator: Optimizer = Field(default_factory=lambda: Optimizer.model_validate({}), description="of the generator")
    discriminator: Optimizer = Field(
        default_factory=lambda: Optimizer.model_validate({}), description="of the discriminator"
    )


class Recipe(Settings):
    """What a run is made of: components by name, each with its settings."""

    datasets: dict[str, Choice[Dataset]] = Field(min_length=1, description="where pictures come from")
    encoder: Choice[LabelEncoder] = Field(description="how attribute values become labels")
    generator: Choice[Generator] = Field(description="the network that translates")
    discriminator: Choice[Discriminator] = Field(description="the network that judges")
    losses: dict[str, Choice[Loss]] = Field(min_length=1, description="what the networks learn from")
    metrics: dict[str, Choice[Metric]] = Field(default_factory=dict, description="what `mdtranslate evaluate` measures")
    evaluation: Evaluation = Field(
        default_factory=lambda: Evaluation.model_validate({}), description="how translations are judged"
    )
    data: Data = Field(default_factory=lambda: Data.model_validate({}), description="how pictures become batches")
    train: Train = Field(
        default_factory=lambda: Train.model_validate({}), description="how long, how often, and what is kept"
    )
    optimizers: Optimizers = Field(
        default_factory=lambda: Optimizers.model_validate({}), description="one optimizer per network"
    )

    @property
    def plugins(self) -> list[str]:
        """The plugins of its components, and of those inside them, with their distributions and versions."""
        parts = [each for _, value in self for each in (value.values() if isinstance(value, dict) else [value])]
        return sorted({owner for each in parts if isinstance(each, Choice) for owner in each.owners()})

    @property
    def judging(self) -> Judging:
        """How the judge of this recipe is trained: a label that mirroring changes could not be learned mirrored."""
        own = self.evaluation.judge
        return own if own.flip is not None else own.model_copy(update={"flip": self.data.flip})

    @model_validator(mode="before")
    @classmethod
    def _instances_by_key(cls, tree: Any) -> Any:
        if not isinstance(tree, Mapping):
            return tree
        return {key: _named_by_key(value) if key in GROUPS else value for key, value in tree.items()}

    @field_validator(*GROUPS, mode="after")
    @classmethod
    def _plain_keys(cls, instances: dict[str, Any]) -> dict[str, Any]:
        for key in instances:
            if not re.fullmatch(r"[\w-]+", key):
                raise ValueError(f"{key!r}: an instance is called by letters, digits, _ and -")
        return instances

    @model_validator(mode="after")
    def _others_to_take_targets_from(self) -> Recipe:
        if self.data.across and len(self.datasets) == 1:
            raise ValueError(f"data.across={self.data.across}: there is no other dataset to take targets from")
        return self

    @field_validator("train", mode="after")
    @classmethod
    def _equal_parts(cls, train: Train, info: ValidationInfo) -> Train:
        data = info.data.get("data")  # Not there where it is wrong itself.
        if data is not None and data.batch_size % train.accumulate:
            batch = f"data.batch_size={data.batch_size}"
            cuts = ", ".join(f"{n}" for n in range(1, data.batch_size + 1) if data.batch_size % n == 0)
            raise ValueError(f"accumulate {train.accumulate} does not cut {batch} evenly; {cuts} do")
        return train

    @field_validator("losses", mode="after")
    @classmethod
    def _something_to_learn(cls, losses: dict[str, Choice[Loss]]) -> dict[str, Choice[Loss]]:
        if all(choice.config.weight == 0 for choice in losses.values()):  # type: ignore[attr-defined]
            raise ValueError("every weight is 0, so nothing would be learned")
        return losses


def _named_by_key(value: Any) -> Any:
    """`[losses.wgan-gp]` without a `name` means the loss of that name."""
    if not isinstance(value, Mapping):
        return value
    return {key: {"name": key, **each} if isinstance(each, Mapping) else each for key, each in value.items()}
