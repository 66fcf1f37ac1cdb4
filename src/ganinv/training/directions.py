"""Named directions of a bundle: from labels to files, each with what it was measured to do.

Labels ship for faces64 (:mod:`ganinv.attributes`); for an attribute of one's own, or another generator, they come from a CSV file.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..editing import Direction, gradients, interfacegan, isolated, save_direction
from ..editing.files import SCORES, summary
from ..editing.interfacegan import CORRELATED
from ..editing.measure import SAMPLES, Attributes, Identity, Score, score, walk
from ..errors import GanInvError, printable
from ..files import write_text
from ..inversion import METHODS
from ..photos import load_target
from ..settings import Checked, Count, Probability, Seed, Share

if TYPE_CHECKING:
    from ..zoo import Bundle

SOURCES = ("image", "z", "seed")  # of a code, columns of the CSV file
MOST_ROWS = 1_000_000
WIDE = 0.2
GRADIENTS = 768


@dataclass(frozen=True)
class Finding(Checked):
    """How directions are found and judged.

    Attributes:
        share: of the codes at either end that the plane is found from. The authors' is 2 %; with 10,000 codes of faces64's second edition, and an
            attribute that is linear in w, the plane's normal then has a cosine of about .7 with it, and of .95 with this one.
        threshold: attributes whose labels are correlated by more are held.
        samples: images that a direction is judged on; 0 judges none, and keeps all.
        gradients: codes at which gradients of the judges are taken, for directions of S (:mod:`ganinv.editing.gradients`); 0 for none. Of an
            attribute's directions that pass, the one with the least dependency is kept.
    """

    share: Share = WIDE
    threshold: Probability = CORRELATED
    samples: Count = SAMPLES
    gradients: Count = GRADIENTS
    seed: Seed = 0


@dataclass(frozen=True)
class Found:
    """A direction and the verdict on it, which is ``None`` where nothing can measure its attribute."""

    direction: Direction
    score: Score | None

    @property
    def ships(self) -> bool:
        return self.score is None or self.score.passes

    @property
    def rank(self) -> tuple[bool, float]:
        """Less is better: one that passes, then the least dependency."""
        dependency = None if self.score is None else self.score.mean_ad
        return not self.ships, math.inf if dependency is None else dependency


def find_directions(
    gan: Bundle,
    codes: Tensor,
    labels: Mapping[str, Tensor],
    config: Finding | None = None,
    judges: tuple[Attributes, Identity] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Found]:
    """The direction of every attribute, and what it does to random images.

    From labels by InterFaceGAN in W, and for attributes that a judge knows also by its gradients in S; the better one is returned, with the verdicts
    on both in its ``facts``.

    Args:
        codes: ``[N, w_dim]``.
        labels: ``{name: [N]}``, NaN where one is not known.
        judges: networks that measure what an edit changes; without them nothing is judged.
        progress: called with the name of each attribute that is done.
    """
    config = config or Finding()
    judged = [] if judges is None or not config.samples else [name for name in labels if name in judges[0].names]
    planes = interfacegan(codes, labels, config.share, config.threshold, config.seed)
    moved = gradients(gan, *judges, config.gradients) if judged and judges and config.gradients else None
    found = []
    for name in labels:
        candidates = [replace(planes[name], generator=gan.sha256)]
        if name in judged:
            assert judges is not None
            candidates += [] if moved is None else [isolated(moved, name)]
            pairs = [
                (one, score(walk(gan, one, *judges, samples=config.samples), judges[1].same)) for one in candidates
            ]
            best, verdict = min(pairs, key=lambda pair: Found(*pair).rank)
            tried = {one.method: each.facts() for one, each in pairs}
            found.append(Found(replace(best, facts=best.facts | {"scores": verdict.facts(), "tried": tried}), verdict))
        else:
            found.append(Found(candidates[0], None))
        if progress:
            progress(name)
    return found


def shipped_labels(gan: Bundle) -> tuple[Tensor, dict[str, Tensor]]:
    """Codes ``[N, w_dim]`` and labels ``{name: [N]}`` that ship with faces64.

    Raises:
        GanInvError: they are of another generator.
    """
    from ..attributes import load_labels

    labels = load_labels()
    with torch.no_grad():
        codes = labels.ws(gan)[:, 0].cpu()
    return codes, {name: torch.as_tensor(labels[name]) for name in labels.names}


def save_directions(folder: str | Path, found: Sequence[Found]) -> Path:
    """Write ``NAME.safetensors`` for each that passes (or was not judged), and ``scores.json`` for all.

    Raises:
        GanInvError: the folder cannot be written.
    """
    folder = Path(folder)
    table = {}
    for each in found:
        direction = each.direction
        if each.ships:
            save_direction(folder / f"{direction.name}.safetensors", direction)
        else:
            (folder / f"{direction.name}.safetensors").unlink(missing_ok=True)  # of an earlier run
        table[direction.name] = {"ships": each.ships, **summary(direction)}
    try:
        write_text(folder / SCORES, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise GanInvError(f"{folder} cannot be written ({error.strerror or error}): choose another folder.") from error
    return folder


def read_labels(
    path: str | Path, gan: Bundle, method: str = "", align: str = "face"
) -> tuple[Tensor, dict[str, Tensor]]:
    """Codes ``[N, w_dim]`` and labels ``{name: [N]}`` of a CSV file.

    Its first row names the columns. One says what a row's code is: ``image``, a picture file (relative to the CSV file), ``z``, numbers separated by
    spaces, or ``seed``, of the z that :meth:`Bundle.randn` draws. Every other column is an attribute; an empty cell is a label that is not known.

    Args:
        method: by which a picture's code is found (e4e where its encoder ships, else a projection to W); the mean over its rows is taken.
        align: how pictures are framed, see :func:`ganinv.photos.load_target`.

    Raises:
        GanInvError: what is wrong in which line.
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise GanInvError(f"{path} cannot be read ({error.strerror or error}): give a CSV file of labels.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise GanInvError(f"{path} is no CSV file in UTF-8 ({error}): save it as one.") from error
    head = [printable(cell.strip(), 80) for cell in rows[0]] if rows else []
    sources = [name for name in head if name in SOURCES]
    names = [name for name in head if name not in SOURCES]
    if len(sources) != 1 or not names or len(set(head)) < len(head) or not all(map(_is_name, names)):
        raise GanInvError(
            f"{path}: its first line should name one column image, z or seed, and the attributes in the others, each once, not {', '.join(head)!r}."
        )
    body = [(i, row) for i, row in enumerate(rows[1:], start=2) if any(cell.strip() for cell in row)]
    if not body or len(body) > MOST_ROWS:
        raise GanInvError(
            f"{path} has {len(body)} rows of labels: a direction needs hundreds, and {MOST_ROWS:,} at most."
        )
    for i, row in body:
        if len(row) != len(head):
            raise GanInvError(f"{path}, line {i}, has {len(row)} cells, and its first line {len(head)}.")
    column = head.index(sources[0])
    given = [(i, row[column].strip()) for i, row in body]
    if sources[0] == "image":
        codes = _of_images(path, gan, given, method, align)
    else:
        zs = torch.stack([_z(path, gan, i, cell, sources[0]) for i, cell in given])
        with torch.no_grad():
            codes = torch.cat([gan.G.mapping(gan.place(part))[:, 0].cpu() for part in zs.split(1000)])
    labels = {
        name: torch.tensor(
            [_number(path, i, row[head.index(name)]) for i, row in body], device="cpu", dtype=torch.float32
        )
        for name in names
    }
    return codes, labels


def _is_name(name: str) -> bool:
    """Whether an attribute's name can be that of a file and of an option."""
    return name.replace("_", "").replace("-", "").isalnum() and not name.startswith("-")


def _number(path: Path, line: int, cell: str) -> float:
    try:
        value = float(cell) if cell.strip() else math.nan
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise GanInvError(f"{path}, line {line}: {printable(cell, 40)!r} is no number; a label is one, or empty.")
    return value


def _z(path: Path, gan: Bundle, line: int, cell: str, source: str) -> Tensor:
    try:
        if source == "seed":
            return gan.randn([gan.G.z_dim], torch.Generator().manual_seed(int(cell))).cpu()
        z = torch.from_numpy(np.array(cell.split(), dtype=np.float32))
        if z.shape == (gan.G.z_dim,) and z.isfinite().all():
            return z
    except (ValueError, RuntimeError):
        pass
    wanted = "a whole number" if source == "seed" else f"{gan.G.z_dim} numbers separated by spaces"
    raise GanInvError(f"{path}, line {line}: its {source} should be {wanted}, not {printable(cell, 40)!r}.")


def _of_images(path: Path, gan: Bundle, given: Sequence[tuple[int, str]], method: str, align: str) -> Tensor:
    name = method or ("e4e" if "e4e" in gan.encoders else "projection-w")
    if name not in METHODS:
        raise GanInvError(f"there is no method {name!r}: choose from {', '.join(METHODS)}.")
    entry, codes = METHODS[name], []
    for i in range(0, len(given), 64):
        targets = []
        for line, cell in given[i : i + 64]:
            try:
                targets.append(load_target(path.parent / cell, gan.resolution, align))
            except GanInvError as error:
                raise GanInvError(f"{path}, line {line}: {error}") from error
        codes.append(entry.function(gan, torch.cat(targets), entry.config).ws.mean(dim=1))
    return torch.cat(codes)
