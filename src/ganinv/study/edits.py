r"""What inversion leaves of editing: every method, photo, direction and strength, measured against the untouched generator's own samples.

A method may find a code where directions mean little, or tune the generator until they mean something else. For every reconstruction and edit:

* the *gain*: the change of the attribute, over what the same edit does to random images of the untouched generator (1: nothing is lost);
* the attribute dependency, mean and maximum (Wu et al. 2021), and the distance of the embedded identity, both before tuning and after;
* realism: the edited image's distance from the training images (:func:`~ganinv.study.domains.domain_distance`), and the discriminator's logit;
* latent editing consistency (Tov et al. 2021), where the bundle has an encoder;
* the cosine between a direction found on the untouched generator's samples and one found on the tuned generator's, beside what two halves of the
  untouched generator's samples give: what chance alone leaves of 1.

Beside it stands the error of the reconstruction, for what is near and cannot be edited is no inversion. Tuned noise maps hold what no direction
moves; the variant ``near-perfect, tuned noise`` is there to show it.
"""

from __future__ import annotations

import csv
import inspect
import io
import json
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor

from ..cache import cache_folder, fingerprint, software
from ..editing import Direction, Edit, boundary
from ..editing.measure import (
    Attributes,
    Identity,
    Looked,
    change,
    cosine,
    drawn,
    editing_consistency,
    look,
    samples_of,
    scores_of,
)
from ..errors import GanInvError, sentence
from ..files import write_text
from ..inversion import METHODS, TUNED_NOISE
from ..photos import check_images, from_uint8, to_uint8
from ..report import finite, staged, versions
from ..zoo import Bundle
from .backends import LOCAL
from .domains import domain_distance
from .kept import inverted, shelves
from .photos import Photos
from .profiles import check_profile, default_config, missing_encoders
from .tasks import Failure, Key, Progress, Variant, depends_on, spread_tasks

STRENGTHS = (-2.0, -1.0, 1.0, 2.0)
SAMPLES = 64  # random images of the untouched generator that edits are compared with
NOISY = "near-perfect, tuned noise"
GENERATOR = "generator"  # what rows of its own samples are called
RELEARNED = 0.3  # share at either end of the few samples that directions are found on anew
RELEARN_SEED = 11
ENCODER = "e4e"  # of the latent editing consistency
COLUMNS = ("change", "gain", "mean_ad", "max_ad", "identity", "domain", "logit", "lec", "mse")
UNEDITED = ("mse", "domain", "logit")  # those of a reconstruction


@dataclass(frozen=True)
class EditRow:
    """One edit of one reconstruction. ``change`` and the dependencies are in standard deviations of random images, ``domain`` as
    :func:`~ganinv.study.domains.domain_distance` has it, ``mse`` is the unedited reconstruction's error; NaN where something cannot be measured."""

    image: str
    method: str
    direction: str
    strength: float
    change: float
    gain: float
    mean_ad: float
    max_ad: float
    identity: float
    domain: float
    logit: float
    lec: float
    mse: float = math.nan


@dataclass
class EditStudy:
    """Attributes:
    rows: one for each photo, method, direction and strength (0 among them: the reconstruction).
    samples: the same for random images of the untouched generator, their means, with the method ``"generator"``.
    cosines: ``{method: {direction: mean over photos}}``, and under ``"generator"`` that of two halves of its samples; empty, if none were measured.
    images: uint8 ``[directions, strengths, 3, R, R]`` by photo and method; the reconstructions in ``reconstructions``.
    """

    gan: Bundle
    photos: Mapping[str, Tensor]
    variants: Mapping[str, Variant]
    directions: Mapping[str, Direction]
    strengths: tuple[float, ...]
    label: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rows: list[EditRow] = field(default_factory=list)
    samples: list[EditRow] = field(default_factory=list)
    cosines: dict[str, dict[str, float]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    reconstructions: dict[Key, Tensor] = field(default_factory=dict)
    images: dict[Key, Tensor] = field(default_factory=dict)

    def mean(self, method: str, column: str, direction: str = "", edited: bool = True) -> float:
        """The mean of a column over photos and strengths (those of edits, or only 0), of one direction or all; NaN where there is none."""
        values = [value for each in self._values(method, column, direction, edited).values() for value in each]
        return fmean(values) if values else math.nan

    def by_photo(self, method: str, column: str, direction: str = "", edited: bool = True) -> dict[str, float]:
        """The same photo by photo, which is what claims compare (:func:`ganinv.study.held`); a photo without a value is left out."""
        return {name: fmean(each) for name, each in self._values(method, column, direction, edited).items()}

    def _values(self, method: str, column: str, direction: str, edited: bool) -> dict[str, list[float]]:
        """The finite values of a column by photo."""
        found: dict[str, list[float]] = {}
        for row in self.samples if method == GENERATOR else self.rows:
            value = getattr(row, column)
            wanted = row.method == method and direction in ("", row.direction) and bool(row.strength) == edited
            if wanted and math.isfinite(value):
                found.setdefault(row.image, []).append(value)
        return found

    def summary(self) -> dict[str, Any]:
        """All means, as JSON values."""
        methods = {}
        for name in [GENERATOR, *self.variants]:
            each = {d: {column: self.mean(name, column, d) for column in COLUMNS} for d in self.directions}
            total = {column: self.mean(name, column) for column in COLUMNS}
            before = {column: self.mean(name, column, edited=False) for column in UNEDITED}
            methods[name] = {"all": total, "unedited": before, "directions": each, "cosine": self.cosines.get(name, {})}
        facts = {
            "command": "study edits",
            **self.label,
            "model": self.gan.name,
            "model_sha256": self.gan.sha256,
            "versions": versions(),
        }
        lists = {"strengths": list(self.strengths), "images": list(self.photos), "notes": self.notes}
        failures = [vars(failure) for failure in self.failures]
        found: dict[str, Any] = finite(facts | lists | {"methods": methods, "failures": failures})
        return found

    def markdown(self) -> str:
        """The means as a page with one table."""
        lines = [f"# ganinv study edits: {self.gan.name}", ""]
        lines += [
            f"{len(self.photos)} photos, directions {', '.join(self.directions)}, strengths {', '.join(f'{t:g}' for t in self.strengths)}."
        ]
        lines += [
            "Means over photos, directions and strengths; generator: random images of the untouched generator.",
            "",
        ]
        head = [
            "method",
            "MSE",
            "gain",
            "mean AD",
            "max AD",
            "identity",
            "domain (unedited)",
            "D (unedited)",
            "LEC",
            "cosine",
        ]
        lines += [f"| {' | '.join(head)} |", f"|---{'|---:' * (len(head) - 1)}|"]
        for name in [GENERATOR, *self.variants]:
            cells = [_cell(self.mean(name, "mse", edited=False), 4)]
            cells += [_cell(self.mean(name, column)) for column in ("gain", "mean_ad", "max_ad", "identity")]
            cells += [
                f"{_cell(self.mean(name, c))} ({_cell(self.mean(name, c, edited=False))})" for c in ("domain", "logit")
            ]
            known = list(self.cosines.get(name, {}).values())
            cells += [_cell(self.mean(name, "lec")), _cell(fmean(known) if known else math.nan)]
            lines.append(f"| {' | '.join([name, *cells])} |")
        lines += ["", *(f"- {note}" for note in self.notes)]
        lines += [f"- {failure.variant}, {failure.image}: failed, {failure.reason}" for failure in self.failures]
        return "\n".join(lines).rstrip() + "\n"

    def csv(self) -> str:
        """One line a row, the generator's first."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", "method", "direction", "strength", *COLUMNS])
        for row in [*self.samples, *self.rows]:
            values = ["" if math.isnan(value := getattr(row, column)) else value for column in COLUMNS]
            writer.writerow([row.image, row.method, row.direction, row.strength, *values])
        return text.getvalue()

    def save(self, folder: str | Path) -> Path:
        """Write ``results.csv``, ``summary.json`` and ``summary.md``.

        Raises:
            GanInvError: the folder cannot be written.
        """
        with staged(folder) as stage:
            write_text(stage / "results.csv", self.csv())
            write_text(
                stage / "summary.json", json.dumps(self.summary(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
            )
            write_text(stage / "summary.md", self.markdown())
        return Path(folder)


def study_edits(
    gan: Bundle,
    photos: Photos,
    directions: Mapping[str, Direction],
    judges: tuple[Attributes, Identity],
    methods: Sequence[str] | Mapping[str, Variant] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    profile: str = "full",
    source: str = "",
    samples: int | Sequence[EditRow] = SAMPLES,
    relearn: int = 0,
    jobs: int = 1,
    backend: str = LOCAL,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> EditStudy:
    """Edit every photo, inverted by every method, and measure it.

    Args:
        photos: ``{name: [1, 3, R, R]}``.
        directions: by the name of the attribute that each is to change.
        judges: the networks that measure attributes and identity.
        methods: names in ``METHODS``, or :data:`NOISY`; for ``None`` all whose encoders the bundle has. Or variants under names of one's own,
            ``{"no tether": Variant("near-perfect", NearPerfect(lambda_locality=0))}``, for settings that are to be compared.
        samples: random images of the untouched generator; or their rows in another study of the same generator (:attr:`EditStudy.samples`), which
            saves measuring them again.
        relearn: samples of each tuned generator that directions are found on anew; 0 for none. It is what takes longest.
        jobs, backend, cache, progress: see :func:`ganinv.study.tasks.run_tasks`. Kept of a task are the edited images, which are measured anew.

    Raises:
        GanInvError: no such method, no photos, directions or variants, or a variant called ``"generator"``.
    """
    if not photos or not directions:
        raise GanInvError("a study of edits needs at least one photo and one direction.")
    strengths = tuple(t for t in map(float, strengths) if t)
    if not strengths or not all(map(math.isfinite, strengths)):
        raise GanInvError("a study of edits needs finite strengths besides 0.")
    check_profile(profile)
    variants, notes = _variants(gan, methods, profile)
    photos = {name: check_images(target, gan.resolution) for name, target in photos.items()}
    study = EditStudy(gan, photos, variants, directions, strengths, {"set": source, "profile": profile}, notes)
    found, study.failures = _run(study, relearn, jobs, backend, cache, progress)
    measure = _Measure(gan, directions, strengths, judges)
    study.samples = measure.generator(samples) if isinstance(samples, int) else measure.known(samples)
    for (photo, variant), outcome in found.items():
        study.reconstructions[photo, variant], study.images[photo, variant] = outcome.reconstruction, outcome.edits
        study.rows += measure.photo(photo, variant, outcome, photos[photo])
    if relearn:
        study.cosines = measure.cosines(found, relearn)
    return study


def _variants(
    gan: Bundle, methods: Sequence[str] | Mapping[str, Variant] | None, profile: str
) -> tuple[dict[str, Variant], list[str]]:
    known = {name: Variant(name, entry.config) for name, entry in METHODS.items()} | {
        NOISY: Variant("near-perfect", TUNED_NOISE)
    }
    if isinstance(methods, Mapping):
        wanted = dict(methods)
        if not wanted or GENERATOR in wanted:
            raise GanInvError(f"a study of edits needs variants, under names other than {GENERATOR!r}.")
        for variant in wanted.values():
            _ = variant.function  # an unknown method is found before the work
    else:
        for name in methods or ():
            if name not in known:
                raise GanInvError(f"There is no method {name!r}: choose from {', '.join(known)}.")
        wanted = {name: known[name] for name in (methods or known)}
    wanted = {name: Variant(v.method, default_config(v.config, gan, profile)) for name, v in wanted.items()}
    without = [] if methods else [name for name, v in wanted.items() if missing_encoders(v.config, gan)]
    said = [f"left out, for want of encoders trained for {gan.name}: {', '.join(without)}."] if without else []
    return {name: variant for name, variant in wanted.items() if name not in without}, said


# --- tasks --------------------------------------------------------------------------------------------------------------------------------


@dataclass
class Edited:
    """What is kept of a task: the reconstruction uint8 ``[1, 3, R, R]``, its edits ``[directions, strengths, 3, R, R]``, and images of random codes
    by the tuned generator, ``[relearn, 3, R, R]`` (none, where it was not tuned)."""

    reconstruction: Tensor
    edits: Tensor
    random: Tensor


def attempt(
    key: Key,
    gan: Bundle,
    device: torch.device,
    target: Tensor,
    variant: Variant,
    function: Any,
    kept: Path | None,
    edits: Sequence[Sequence[Edit]],
    relearn: int,
) -> tuple[Key, Edited | str]:
    """Invert one photo and draw all its edits, in whatever process; an error of its own becomes a sentence."""
    try:
        gan = gan.to(device)
        result = inverted(gan, target, variant.config, function, kept)
        images = torch.stack([torch.cat([result.render(edit) for edit in row]) for row in edits])
        random = torch.zeros([0, *target.shape[1:]], device="cpu", dtype=torch.uint8)
        if relearn and result.tuned:
            ws = samples_of(gan, relearn, RELEARN_SEED)
            with torch.no_grad():
                random = torch.cat(
                    [to_uint8(result.generator.synthesis(part).clamp(-1, 1)).cpu() for part in ws.split(32)]
                )
        drawn_edits = to_uint8(images.flatten(0, 1).clamp(-1, 1)).reshape(images.shape)
        parts = (to_uint8(result.image.clamp(-1, 1)), drawn_edits, random)
        return key, Edited(*(part.contiguous() for part in parts))  # as they come back from the cache
    except Exception as error:  # one method's fault is not to cost the results of the others
        return key, sentence(error)


def _run(
    study: EditStudy,
    relearn: int,
    jobs: int,
    backend: str,
    cache: str | os.PathLike[str] | None,
    progress: Progress | None,
) -> tuple[dict[Key, Edited], list[Failure]]:
    """The edits of all photos by all methods, from the cache or drawn; whatever is finished is kept."""
    gan, folder = study.gan, Path(cache or cache_folder()) / "edits"
    edits = [[direction.at(t) for t in study.strengths] for direction in study.directions.values()]
    steps = [
        part
        for d in study.directions.values()
        for part in (d.step.values() if isinstance(d.step, Mapping) else [d.step])
    ]
    shapes = [
        (d.space, d.layers, list(d.step) if isinstance(d.step, Mapping) else []) for d in study.directions.values()
    ]
    where = f"{gan.device.type} {gan.precision}"
    base = fingerprint(
        gan.G, gan.D, gan.reference, *steps, repr((shapes, study.strengths, relearn, where)), software(), _source()
    )
    apart = {name: depends_on(gan, variant) for name, variant in study.variants.items()}
    tasks = [(photo, variant) for variant in study.variants for photo in study.photos]
    files = {key: folder / f"{fingerprint(base, apart[key[1]], study.photos[key[0]])}.npz" for key in tasks}

    def calls(waiting: Sequence[Key]) -> list[Any]:
        device, home = gan.device, gan.to("cpu")
        kept = shelves(folder.parent, gan, apart, study.photos, backend)
        return [
            joblib.delayed(attempt)(
                key,
                home,
                device,
                study.photos[key[0]],
                study.variants[key[1]],
                study.variants[key[1]].function,
                kept[key],
                edits,
                relearn,
            )
            for key in waiting
        ]

    return spread_tasks(files, calls, _read, _arrays, jobs, backend, progress)


def _source() -> str:
    """What draws edits, besides what all results depend on."""
    return "".join(path.read_text(encoding="utf-8") for path in (Path(__file__), Path(inspect.getfile(Direction))))


def _arrays(edited: Edited) -> dict[str, Any]:
    return {name: value.numpy() for name, value in vars(edited).items()}


def _read(path: Path) -> Edited | None:
    try:
        with np.load(path, allow_pickle=False) as data:
            return Edited(**{name: torch.from_numpy(data[name]) for name in ("reconstruction", "edits", "random")})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # none there, or a damaged one, which will be replaced


# --- measurements -------------------------------------------------------------------------------------------------------------------------


class _Measure:
    """The columns of a row, for images of photos and of random codes alike."""

    def __init__(
        self,
        gan: Bundle,
        directions: Mapping[str, Direction],
        strengths: Sequence[float],
        judges: tuple[Attributes, Identity],
    ):
        self.gan, self.directions, self.strengths = gan, directions, strengths
        self.attributes, self.identity = judges
        self.names = list(self.attributes.names)
        self.domain = domain_distance(gan)
        self.company = _company(gan)
        self.changes: dict[tuple[str, float], float] = {}

    def generator(self, samples: int) -> list[EditRow]:
        """Means over random images of the untouched generator; what the gain of photos is measured by."""
        ws = samples_of(self.gan, samples)
        start, rows = drawn(self.gan, ws, Edit()), []
        seen, unedited = look(start, self.attributes, self.identity), self._realism(start)
        for name, direction in self.directions.items():
            after = {t: drawn(self.gan, ws, direction.at(t)) for t in self.strengths}
            own, *edited = self._rows("", GENERATOR, name, start, seen, after, unedited)
            self.changes |= {(name, row.strength): row.change for row in edited}
            rows += [own, *(replace(row, gain=1.0) for row in edited)]
        return rows

    def known(self, rows: Sequence[EditRow]) -> list[EditRow]:
        """The rows of such images that have been measured, those that this study needs.

        Raises:
            GanInvError: some direction or strength is not among them.
        """
        wanted = [(name, t) for name in self.directions for t in (0.0, *self.strengths)]
        found = {(row.direction, row.strength): row for row in rows if row.method == GENERATOR}
        if missing := [f"{name} at {t:g}" for name, t in wanted if (name, t) not in found]:
            raise GanInvError(f"the samples were not measured with {', '.join(missing)}: give their number instead.")
        self.changes |= {key: found[key].change for key in wanted if key[1]}
        return [found[key] for key in wanted]

    def photo(self, photo: str, variant: str, outcome: Edited, target: Tensor) -> list[EditRow]:
        """All edits of one reconstruction of ``target``."""
        start, rows = from_uint8(outcome.reconstruction), list[EditRow]()
        mse = (start - target.cpu()).square().mean().item()
        seen, unedited = look(start, self.attributes, self.identity), self._realism(start)
        for name, edits in zip(self.directions, outcome.edits, strict=True):
            after = {t: from_uint8(image[None]) for t, image in zip(self.strengths, edits, strict=True)}
            own, *edited = self._rows(photo, variant, name, start, seen, after, unedited)
            rows += [replace(own, mse=mse), *edited]
        return rows

    def _rows(
        self,
        photo: str,
        method: str,
        name: str,
        start: Tensor,
        seen: Looked,
        after: Mapping[float, Tensor],
        unedited: tuple[float, float],
    ) -> list[EditRow]:
        """Images as they are (strength 0), and with each strength of an edit."""
        moved = change(seen, after, name, self.attributes, self.identity)
        still = 0.0 if name in self.names else math.nan
        nothing = (math.nan, math.nan, math.nan, math.nan)
        rows = [EditRow(photo, method, name, 0.0, still, *nothing, *unedited, math.nan)]
        for i, (t, images) in enumerate(after.items()):
            shift, expected = moved.shift[i], self.changes.get((name, t), math.nan)
            gain = shift / expected if expected else math.nan
            others = moved.mean_ad[i], moved.max_ad[i], moved.identity[i]
            lec = self._consistency(start, images, self.directions[name], t)
            rows.append(EditRow(photo, method, name, t, shift, gain, *others, *self._realism(images), lec))
        return rows

    @torch.no_grad()
    def _realism(self, images: Tensor) -> tuple[float, float]:
        """Mean distance from the training images, and the discriminator's mean logit, of each image in the same company."""
        D, place = self.gan.D, self.gan.place
        logits = [] if D is None else [D(torch.cat([place(x), self.company]))[0].item() for x in images.split(1)]
        return float(self.domain(images.clamp(-1, 1)).mean()), fmean(logits) if logits else math.nan

    @torch.no_grad()
    def _consistency(self, start: Tensor, images: Tensor, direction: Direction, t: float) -> float:
        """LEC, in units of sigma_w; NaN without an encoder, and for directions of S."""
        if ENCODER not in self.gan.encoders or isinstance(direction.step, Mapping):
            return math.nan
        return fmean(editing_consistency(self._encode, start, images, direction, t)) / self.gan.sigma_w

    def _encode(self, images: Tensor) -> Tensor:
        entry = METHODS[ENCODER]
        return entry.function(self.gan, images.clamp(-1, 1), entry.config).ws

    def cosines(self, found: Mapping[Key, Edited], relearn: int) -> dict[str, dict[str, float]]:
        """Of directions found anew on the samples of each tuned generator with those found on the untouched one's, means over photos."""
        halves = [samples_of(self.gan, relearn, seed) for seed in (RELEARN_SEED, RELEARN_SEED + 1)]
        codes, other = (ws[:, 0].cpu() for ws in halves)
        labels, others = (scores_of(drawn(self.gan, ws, Edit()), self.attributes) for ws in halves)
        result: dict[str, dict[str, list[float]]] = {}
        for name in (name for name in self.directions if name in self.names):
            j = self.names.index(name)
            first, second = (
                boundary(codes, labels[:, j], name, RELEARNED),
                boundary(other, others[:, j], name, RELEARNED),
            )
            result.setdefault(GENERATOR, {})[name] = [cosine(first, second)]
            for (_, variant), outcome in found.items():
                if len(outcome.random):
                    seen = scores_of(from_uint8(outcome.random), self.attributes)[:, j]
                    result.setdefault(variant, {}).setdefault(name, []).append(
                        cosine(first, boundary(codes, seen, name, RELEARNED))
                    )
        return {variant: {name: fmean(values) for name, values in each.items()} for variant, each in result.items()}


def _company(gan: Bundle) -> Tensor:
    """What the discriminator sees beside an image, since it compares those of a batch: training images, or samples."""
    n = 0 if gan.D is None else (gan.D.config["mbstd_group_size"] or 1) - 1
    if gan.reference is not None:
        return gan.place(from_uint8(gan.reference[:n]))
    return gan.place(drawn(gan, samples_of(gan, max(n, 1)), Edit())[:n])


def _cell(value: float, digits: int = 2) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
