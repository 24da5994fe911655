"""A generalist and its specialists as one model: Hinton, Vinyals and Dean (2015), section 5.

A frame's specialists are those that hold the generalist's most probable pdf; they alone are run on it. The logits are
log q of `consensus`, so that softmax at T = 1 gives the posteriors that all agree on, and at another T softens these.
Where no specialist is called, q is the generalist's.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn

from asrkd.core.config import STRICT, parse
from asrkd.core.errors import ConfigError, MismatchError
from asrkd.models import build_model
from asrkd.models.consensus import Opinion, consensus
from asrkd.models.saved import ModelInfo, SavedModel, check_belongs, log_softmax
from asrkd.models.specialist import SavedSpecialist

TYPE = "specialised"


@dataclass(frozen=True, config=STRICT)
class SpecialistSection:
    """A specialist's architecture, its pdfs, and what is added to the logit of its dustbin."""

    model: dict[str, Any]
    pdfs: tuple[int, ...] = Field(min_length=1)
    correction: float = 0.0


@dataclass(frozen=True, config=STRICT)
class Config:
    """The generalist's architecture, and specialists in the order of their weights."""

    generalist: dict[str, Any] = Field(default_factory=dict)
    specialists: tuple[SpecialistSection, ...] = ()


class Specialised(nn.Module):
    """Maps windows (..., input_dim) to log q (..., num_pdfs). Not trained as one: its parts are."""

    own: torch.Tensor

    def __init__(self, config: Config, input_dim: int, num_pdfs: int):
        super().__init__()
        self.generalist = build_model(config.generalist, input_dim, num_pdfs, "generalist")
        self.specialists = nn.ModuleList(
            build_model(each.model, input_dim, len(each.pdfs) + 1, "specialist") for each in config.specialists
        )
        self.pdfs = [each.pdfs for each in config.specialists]
        self.corrections = [each.correction for each in config.specialists]
        own = torch.zeros(num_pdfs, len(self.pdfs), dtype=torch.bool)
        for index, pdfs in enumerate(self.pdfs):
            own[list(pdfs), index] = True
        self.register_buffer("own", own, persistent=False)

    @torch.no_grad()
    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise ConfigError(
                f"type: {TYPE} is not trained as one: `asrkd train-specialist`, then `asrkd add-specialists`"
            )
        flat = windows.reshape(-1, windows.shape[-1])
        log_q = self.agree(flat, log_softmax(self.generalist(flat)))
        return log_q.reshape(*windows.shape[:-1], -1)

    def called(self, log_p: torch.Tensor) -> torch.Tensor:
        """Which specialists a frame is for, (frames, specialists), by the generalist's top pdf."""
        return self.own[log_p.argmax(-1)]

    @torch.no_grad()
    def agree(self, windows: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
        """Log q (frames, num_pdfs) of windows (frames, input_dim), given the generalist's log posteriors of them."""
        called, log_q = self.called(log_p), log_p.clone()
        heard = [self._ask(index, windows, called[:, index]) for index in range(len(self.pdfs))]
        groups, group_of = torch.unique(called, dim=0, return_inverse=True)
        for number, group in enumerate(groups):
            frames = (group_of == number).nonzero()[:, 0]
            opinions = [
                Opinion(heard[index][frames], torch.tensor(self.pdfs[index], device=log_p.device))
                for index in group.nonzero()[:, 0].tolist()
            ]
            if opinions:
                log_q[frames] = consensus(log_p[frames], opinions).to(log_q.dtype)
        return log_q

    def _ask(self, index: int, windows: torch.Tensor, called: torch.Tensor) -> torch.Tensor:
        """A specialist's log posteriors, dustbin last; only the rows of the frames that it is called for are filled."""
        answers = windows.new_zeros(len(windows), len(self.pdfs[index]) + 1, dtype=torch.float32)
        if called.any():
            logits = self.specialists[index](windows[called]).float()
            logits[:, -1] += self.corrections[index]
            answers[called] = log_softmax(logits)
        return answers


def build(config: Config, input_dim: int, num_pdfs: int) -> Specialised:
    """Raises ConfigError for pdfs that are not there, come twice, or leave none to the dustbin."""
    if config.generalist.get("type") == TYPE:
        raise ConfigError(f"generalist: its type can't be {TYPE}: add the specialists to it")
    for index, each in enumerate(config.specialists):
        if not 0 <= min(each.pdfs) <= max(each.pdfs) < num_pdfs or not len(set(each.pdfs)) == len(each.pdfs) < num_pdfs:
            raise ConfigError(
                f"specialists.{index}: pdfs are not distinct ids of some, but not all, of {num_pdfs} pdfs"
            )
    return Specialised(config, input_dim, num_pdfs)


def add_specialists(model: SavedModel, added: Sequence[SavedSpecialist]) -> tuple[Specialised, ModelInfo]:
    """A generalist, or what `add_specialists` made of it before, and further specialists, as one.

    Nothing is trained again. MismatchError for specialists of other features, tied states or windows.
    """
    section, info = dict(model.info.model), model.info
    parts = [model.module]
    if isinstance(model.module, Specialised):
        del section["type"]
        parts = [model.module.generalist, *model.module.specialists]
    else:
        section = {"generalist": section}
    config = parse(Config, section, str(model.path))
    for each in added:
        check_belongs(model, each.info.features, each.info.tied_states)
        if (each.info.left, each.info.right) != (info.left, info.right):
            raise MismatchError(
                f"{each.path} sees {each.info.left} past and {each.info.right} future frames, {model.path} {info.left} "
                f"and {info.right}: is it another generalist's specialist?"
            )
    sections = [SpecialistSection(dict(each.info.model), each.info.pdfs, each.info.correction) for each in added]
    config = replace(config, specialists=(*config.specialists, *sections))
    joined = build(config, info.input_dim, info.num_pdfs)
    parts += [each.module for each in added]
    for ours, theirs in zip([joined.generalist, *joined.specialists], parts, strict=True):
        ours.load_state_dict(theirs.state_dict())
    return joined.eval(), replace(info, model={"type": TYPE, **asdict(config)})
