"""The tables of a recipe other than its components; every setting has a type, bounds and a description."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from mdtranslate.api import Settings
from mdtranslate.errors import nearest


class Data(Settings):
    """How images become batches."""

    image_size: int = Field(128, ge=8, le=4096, description="height and width of training images in pixels")
    load_size: int | None = Field(
        None,
        ge=8,
        le=4096,
        description="height and width of cached images; larger than image_size gives random crops. image_size if left "
        "out",
    )
    batch_size: int = Field(16, ge=1, le=65_536, description="images per step, over all processes")
    flip: bool = Field(True, description="flip half of the training images horizontally")
    augment: tuple[dict[str, Any], ...] = Field(
        (),
        description="albumentations transforms of training images, each a table of its name and arguments: "
        '[{name="ColorJitter", hue=0.1, p=0.5}]',
    )
    balance: Literal["none", "dataset", "domain"] = Field(
        "none", description="sample all images equally often (none), or all datasets, or all domains"
    )
    targets: Literal["permute", "one-edit", "other-domain", "domain-pairs", "paired"] = Field(
        "permute",
        description="how target labels are sampled: permute: labels of other images: with one dataset the source "
        "labels of the batch, permuted (StarGAN), with several, drawn from all images of the same dataset; one-edit: "
        "the source with one attribute changed; other-domain: any domain but the source's; domain-pairs: two values of "
        "one attribute in each step, half of the batch each (CycleGAN); paired: an edit whose ground truth the dataset "
        "has (pix2pix)",
    )
    cross_dataset: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of samples whose target label comes from another dataset; 0 as in the StarGAN paper",
    )
    unreadable: Literal["stop", "skip"] = Field(
        "stop",
        description="what to do about images that cannot be read: stop, or leave them out and list them in "
        "left_out.txt (at most 5 % of the images)",
    )
    workers: int | None = Field(None, ge=0, description="processes that fill the cache; one per core if left out")

    @model_validator(mode="after")
    def _check_sizes(self) -> Data:
        if self.load_size is not None and self.load_size < self.image_size:
            raise ValueError(f"load_size {self.load_size} is smaller than image_size {self.image_size}")
        return self

    @model_validator(mode="after")
    def _check_targets(self) -> Data:
        if self.targets == "domain-pairs" and self.batch_size % 2:
            raise ValueError(f"batch_size {self.batch_size}: targets=domain-pairs needs an even one, half per domain")
        if self.targets == "domain-pairs" and self.balance != "none":
            raise ValueError(f"balance={self.balance}: targets=domain-pairs samples all domains equally often already")
        if self.targets in ("domain-pairs", "paired") and self.cross_dataset:
            raise ValueError(
                f"cross_dataset={self.cross_dataset}: targets={self.targets} has no targets from other datasets"
            )
        return self

    @property
    def note(self) -> str | None:
        """A warning about crops that show less than a tenth of the image; None for other sizes."""
        share = (self.image_size / self.cached_size) ** 2
        if share > 0.1:
            return None
        return (
            f"data.load_size={self.cached_size} for data.image_size={self.image_size}: each crop shows {share:.0%} of "
            "its image; a smaller load_size shows more"
        )

    @property
    def cached_size(self) -> int:
        """Height and width of cached images in pixels."""
        return self.load_size or self.image_size


class Train(Settings):
    """Training steps, intervals, and what is kept."""

    steps: PositiveInt = Field(200_000, description="training steps; each updates the discriminator once")
    critic_steps: PositiveInt = Field(5, description="discriminator updates per generator update")
    seed: int = Field(0, ge=0, lt=2**63, description="random seed of weights, sampling, flips and all other draws")
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="decay of an exponential moving average of the generator per generator update, bias-corrected; "
        "none if left out",
    )
    init: str | None = Field(
        None,
        description="a run, or the name of a model, to start from; weights whose shape depends on the domains start "
        "anew",
    )
    log_every: PositiveInt = Field(100, description="steps between lines of log.jsonl")
    validate_every: int = Field(
        500,
        ge=0,
        description="steps between validations on held-out images: whether edits are recognised, and whether the "
        "output depends on the target; 0: never",
    )
    sample_every: PositiveInt = Field(1_000, description="steps between sample grids")
    save_every: PositiveInt = Field(1_000, description="steps between checkpoints")
    keep_checkpoints: int = Field(2, ge=1, description="number of checkpoints to keep, the newest")
    sample_images: int = Field(8, ge=1, le=64, description="rows of a sample grid")
    on_nonfinite: Literal["skip", "stop"] = Field(
        "skip",
        description="what to do about a non-finite loss or gradient: skip the update, and stop after 100 in a row; or "
        "stop at once. Weights are never updated with it",
    )
    deterministic: bool = Field(
        False,
        description="use deterministic algorithms, so that repeated runs on the same GPU are bit-identical (slower); "
        "not needed on CPUs",
    )
    tensorboard: bool = Field(False, description="also write losses and samples for TensorBoard")
    precision: Literal["auto", "fp32", "tf32", "bf16"] = Field(
        "auto",
        description="arithmetic of the networks: tf32 needs an NVIDIA GPU; bf16 is autocast, with weights, penalties "
        "and losses in float32; auto is bf16 on GPUs and processors with instructions for it, otherwise fp32, and "
        "stays what it was when the run started",
    )
    gradient_accumulation: PositiveInt = Field(
        1, description="micro-batches that each batch is split into, which needs less memory"
    )
    activation_checkpointing: bool = Field(
        False, description="recompute the generator's activations in the backward pass: slower, less memory"
    )
    compile: bool | Literal["graphs"] = Field(
        False,
        description="compile updates with torch.compile; graphs: also replay them as CUDA graphs, for small batches on "
        "NVIDIA GPUs",
    )

    @model_validator(mode="after")
    def _generator_trains(self) -> Train:
        if self.critic_steps > self.steps:
            raise ValueError(f"critic_steps {self.critic_steps} is more than steps {self.steps}: no generator update")
        return self


class ClassifierTraining(Settings):
    """Training of the attribute classifier of evaluations, on real images.

    It is validated after each epoch, and the best epoch is kept.
    """

    model: str = Field("resnet18", description="timm network; timm.list_models() lists all names")
    weights: Path | None = Field(
        None, description="file with initial weights, a state_dict of the timm network; random if left out"
    )
    epochs: int = Field(4, ge=1, description="number of epochs")
    min_images_per_epoch: int = Field(
        2_000, ge=1, description="images per epoch at least; smaller train splits are repeated"
    )
    max_images_per_epoch: int = Field(20_000, ge=1, description="images per epoch at most")
    batch_size: int = Field(32, ge=2, description="images per step")
    learning_rate: float = Field(2e-3, gt=0, description="peak learning rate of the one-cycle schedule (AdamW)")
    weight_decay: float = Field(0.05, ge=0, description="weight decay (AdamW)")
    shift: float = Field(1 / 16, ge=0, lt=1, description="largest random translation, as a fraction of the image size")
    flip: bool | None = Field(None, description="flip half of the images horizontally; as data.flip if left out")

    @field_validator("model", mode="after")
    @classmethod
    def _exists(cls, model: str) -> str:
        if model != cls.model_fields["model"].default:  # timm takes a second to import.
            import timm

            if not timm.is_model(model):
                raise ValueError(f"timm has no network {model!r}; {nearest(model, timm.list_models())}")
        return model


class Evaluation(Settings):
    """How translations are evaluated."""

    classifier: ClassifierTraining = Field(
        default_factory=lambda: ClassifierTraining.model_validate({}),
        description="the attribute classifier, which is trained on real images only",
    )
    max_attributes_per_edit: int = Field(1, ge=1, le=6, description="attributes that one edit changes at most")
    reference_images: int = Field(
        12_000, ge=1, description="real training images, drawn at random, that metrics compare edits with, at most"
    )


class Optimizer(Settings):
    """Adam (Kingma and Ba 2015) for one network."""

    learning_rate: float = Field(1e-4, gt=0, description="initial learning rate")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.5, 0.999), description="decay rates of the first and second moment estimates"
    )
    decay_from: float = Field(
        0.5,
        ge=0,
        le=1,
        description="fraction of the steps after which the learning rate decays linearly, to zero at the end; 1: never",
    )

    def rate(self, step: int, steps: int) -> float:
        """Returns the learning rate at a step, counted from 0, of `steps` in all."""
        start = self.decay_from * steps
        return self.learning_rate * min(1.0, (steps - step) / max(steps - start, 1.0))


class Optimizers(Settings):
    """The optimizer of each network."""

    generator: Optimizer = Field(default_factory=lambda: Optimizer.model_validate({}), description="of the generator")
    discriminator: Optimizer = Field(
        default_factory=lambda: Optimizer.model_validate({}), description="of the discriminator"
    )
