"""Choose the training images of ``faces64``: of the DCGAN's draws, those that look like a portrait, with the frame of each face.

A plain draw of the DCGAN is a presentable, evenly lit face about once in twelve. A generator learns what it is shown, so the draws are selected:
MTCNN's O-net looks at each one a few times (:func:`look`), :func:`judge` sorts it, and the similarity transform from its landmarks to
``FRAME_LANDMARKS`` puts it where ``align="face"`` puts a photo. Looking is what costs time, and whether a draw will be kept can partly be seen from
its ``z``: a ridge regression on (z, z² − 1), fitted on the first draws, proposes which ones to look at (:class:`Proposal`).

A score beside its threshold may round differently on another machine. What ships is therefore the result: the number of each kept candidate and its
quantised transform (:class:`Selection`), from which :mod:`ganinv.training.data` draws the same bytes everywhere.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GanInvError
from ..files import atomic_path
from ..photos.detector import onet
from ..photos.faces import FRAME_LANDMARKS
from ..run import Interrupt
from .dcgan import Z_DIM, load_dcgan

SIZE = 64  # pixels of a draw
CHUNK = 2000  # candidates of one sub-seed
BATCH = 200  # candidates drawn and looked at together
# side of the box in which O-net is told to expect the face, and how far its middle is below the image's
LOOKS = (
    (54, 2),
    (60, 2),
    (48, 2),
    (54, 6),
)
# what a kept face is: the nose on the mid-line, or towards the image's left or right edge
FRONTAL, LEFT, RIGHT = (
    1,
    2,
    3,
)
SHARES = {FRONTAL: 2 / 3, LEFT: 1 / 6, RIGHT: 1 / 6}
FIT_CHUNKS = 4  # of which every candidate is looked at; the proposals are fitted on them
PROPOSED = {FRONTAL: 160, LEFT: 60, RIGHT: 60}  # candidates a chunk that are looked at afterwards
GROUP = 4  # chunks between two saves
RIDGE = 0.2  # weight of the penalty, per candidate
# units of a stored transform: 1/SCALE for its rotation and scale, 1/STEPS of a pixel for its centre
SCALE, STEPS = (
    2**14,
    2**9,
)


def candidates(seed: int, chunk: int) -> Tensor:
    """The codes z ``[CHUNK, 100]`` (float64) of the candidates number ``chunk * CHUNK`` and following: a function of its arguments alone."""
    generator = torch.Generator().manual_seed(seed * 100_003 + chunk)
    return torch.randn(CHUNK, Z_DIM, generator=generator, device="cpu", dtype=torch.float64)


# -- looking -----------------------------------------------------------------------------------------------------------


def look(images: Tensor, side: float, below: float) -> tuple[Tensor, Tensor]:
    """O-net's opinion of images ``[N, 3, 64, 64]`` (0..255), told that a box of ``side`` pixels around the middle holds a face.

    Returns:
        The probability of a face ``[N]``, and the five landmarks ``[N, 5, 2]`` in pixels counted from the image's corner.
    """
    centre = images.new_tensor([SIZE / 2, SIZE / 2 + below])
    box = images.new_tensor([[side / SIZE, 0, 0], [0, side / SIZE, 2 * below / SIZE]]).expand(len(images), 2, 3)
    grid = F.affine_grid(box, [len(images), 3, 48, 48], align_corners=False)
    patches = F.grid_sample(images - 127.5, grid, align_corners=False) + 127.5  # outside the image: grey
    score, _, points = onet()(patches)
    return score, centre - side / 2 + points.view(-1, 2, 5).transpose(1, 2) * side


def mirrored(landmarks: Tensor) -> Tensor:
    """The landmarks ``[N, 5, 2]`` of the mirror image: left and right change places."""
    swapped = landmarks[:, [1, 0, 2, 4, 3]].clone()
    swapped[..., 0] = SIZE - swapped[..., 0]
    return swapped


def nose_offset(landmarks: Tensor) -> Tensor:
    """How far the nose ``[N]`` is to the image's right of the mid-line, in distances of the eyes: 0 for a frontal face."""
    left_eye, right_eye, nose, left_mouth, right_mouth = landmarks.unbind(1)
    middle, eyes = (left_eye + right_eye + left_mouth + right_mouth) / 4, right_eye - left_eye
    return ((nose - middle) * eyes).sum(1) / eyes.square().sum(1).clamp(min=1)


def fit_frames(landmarks: Tensor) -> Tensor:
    """The similarity transforms ``[N, 4]`` (re a, im a, x, y) from the frame to the landmarks: frame point q lies at a (q − middle) + (x, y).

    The least-squares fit of :func:`ganinv.photos.faces.fit_frame`, for many faces; |a| = 1 where the face fills the image as it fills the frame.
    """
    frame = torch.view_as_complex(torch.tensor(FRAME_LANDMARKS, device="cpu", dtype=torch.float64) * SIZE)
    found = torch.view_as_complex(landmarks.double().contiguous())
    spread = frame - frame.mean()
    a = (found - found.mean(1, keepdim=True)) @ spread.conj() / spread.abs().square().sum()
    centre = found.mean(1) + a * (complex(SIZE / 2, SIZE / 2) - frame.mean())
    return torch.cat([torch.view_as_real(a), torch.view_as_real(centre)], dim=1)


def warp(images: Tensor, transforms: np.ndarray) -> Tensor:
    """Put faces into the frame: images uint8 ``[N, 3, 64, 64]`` and stored transforms int16 ``[N, 4]`` to uint8 ``[N, 3, 64, 64]``.

    Bicubic, with the border reflected; in float64, so that rounding to bytes hides the differences between processors.
    """
    stored = torch.from_numpy(transforms.astype(np.float64))
    re, im, x, y = (stored / stored.new_tensor([SCALE, SCALE, STEPS, STEPS])).unbind(1)
    half = SIZE / 2
    matrix = torch.stack([torch.stack([re, -im, (x - half) / half], 1), torch.stack([im, re, (y - half) / half], 1)], 1)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    framed = F.grid_sample(
        images.double() - 127.5, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return (framed + 127.5).round().clamp(0, 255).to(torch.uint8)


def quantised(transforms: Tensor) -> np.ndarray:
    """Transforms ``[N, 4]`` as they are stored: int16."""
    return (
        (transforms * transforms.new_tensor([SCALE, SCALE, STEPS, STEPS]))
        .round()
        .clamp(-32768, 32767)
        .numpy()
        .astype(np.int16)
    )


@torch.inference_mode()
def judge(images: Tensor) -> tuple[Tensor, np.ndarray]:
    """Sort draws: ``FRONTAL``, ``LEFT``, ``RIGHT``, or 0 for those that are dropped, and the stored transform of each.

    Args:
        images: uint8 ``[N, 3, 64, 64]``.

    Returns:
        Kinds ``[N]``, and transforms int16 ``[N, 4]`` (zeros where a first look already dropped the image).
    """
    kinds, transforms = (
        torch.zeros(len(images), device=images.device, dtype=torch.long),
        np.zeros((len(images), 4), np.int16),
    )
    x = images.float()
    score, landmarks = look(x, *LOOKS[0])
    brightness = x[:, :, 16:52, 14:50].mean((1, 2, 3))
    promising = (score > 0.98) & (nose_offset(landmarks).abs() < 0.45) & (brightness > 70) & (brightness < 200)
    rows = promising.nonzero()[:, 0]
    if not len(rows):
        return kinds, transforms
    x = x[rows]
    looks = [look(x, *box) for box in LOOKS] + [(s, mirrored(p)) for s, p in (look(x.flip(3), *box) for box in LOOKS)]
    score = torch.stack([s for s, _ in looks]).mean(0)
    points = torch.stack([p for _, p in looks])
    landmarks, spread = points.mean(0), points.std(0).mean((1, 2))

    fitted = fit_frames(landmarks)
    stored = quantised(fitted)
    framed = warp(images[rows], stored).float()
    size, roll = fitted[:, :2].norm(dim=1), torch.atan2(fitted[:, 1], fitted[:, 0]).rad2deg()
    face = framed[:, :, 22:58, 14:50]
    brightness, contrast = face.mean((1, 2, 3)), face.mean(1).std((1, 2))
    good = (score > 0.999) & (brightness > 80) & (brightness < 190) & (contrast > 22)
    good &= (size > 0.75) & (size < 1.25) & (roll.abs() < 15) & ~wears_mask(framed)
    offset = nose_offset(landmarks)
    kind = torch.zeros_like(rows)
    kind[good & (offset.abs() < 0.13) & (spread < 1.6)] = FRONTAL
    turned = good & (offset.abs() >= 0.13) & (offset.abs() < 0.35) & (spread < 2)
    kind[turned & (offset < 0)], kind[turned & (offset > 0)] = LEFT, RIGHT
    kinds[rows] = kind
    transforms[rows.numpy()] = stored
    return kinds, transforms


def wears_mask(framed: Tensor) -> Tensor:
    """Whether the mouth of a framed face ``[N, 3, 64, 64]`` (0..255) is covered: skin and lips are redder than blue, cloth mostly is not."""
    mouth, nose = framed[:, :, 46:60, 20:44].mean((2, 3)), framed[:, :, 30:40, 26:38].mean((2, 3))
    warmth = lambda colour: (colour[:, 0] - colour[:, 2]) / colour.mean(1).clamp(min=1)  # noqa: E731
    return (warmth(mouth) < warmth(nose) - 0.25) | (warmth(mouth) < -0.1)


# -- proposing and selecting ----------------------------------------------------------------------------------------------


@dataclass
class Proposal:
    """Which candidates to look at: for each kind of face a ridge regression of "will be kept" on (z, z² − 1), of which the order matters alone.

    Attributes:
        weights: its coefficients ``[3, 200]``, a row a kind (in the order of ``SHARES``).
    """

    weights: np.ndarray

    @classmethod
    def fit(cls, z: Tensor, kinds: np.ndarray) -> Proposal:
        from sklearn.linear_model import Ridge  # wanted by nobody who only draws what was selected

        x = cls._terms(z)
        return cls(np.stack([Ridge(alpha=RIDGE * len(x)).fit(x, kinds == kind).coef_ for kind in SHARES]))

    @staticmethod
    def _terms(z: Tensor) -> np.ndarray:
        return torch.cat([z, z.square() - 1], dim=1).numpy()

    def propose(self, z: Tensor, kinds: list[int]) -> np.ndarray:
        """The rows of z ``[N, 100]`` to look at: of each of ``kinds`` the ``PROPOSED`` most likely ones."""
        scores = dict(zip(SHARES, self.weights @ self._terms(z).T, strict=True))
        return np.unique(np.concatenate([np.argsort(-scores[kind], kind="stable")[: PROPOSED[kind]] for kind in kinds]))


@cache
def _dcgan() -> torch.nn.Module:
    return load_dcgan().float().to(memory_format=torch.channels_last)


@torch.inference_mode()
def judge_candidates(
    seed: int, chunk: int, rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw and :func:`judge` the candidates ``rows`` of a chunk (default: all): ``rows``, their kinds and their transforms."""
    z = candidates(seed, chunk)
    rows = np.arange(CHUNK) if rows is None else rows
    kinds, transforms = [], []
    for part in torch.from_numpy(rows).split(BATCH):
        images = (_dcgan()(z[part].float()[:, :, None, None]) * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
        kind, transform = judge(images)
        kinds.append(kind.numpy().astype(np.uint8))
        transforms.append(transform)
    return rows, np.concatenate(kinds), np.concatenate(transforms)


def _be_worker() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer


def _judge_proposed(
    seed: int, chunk: int, proposal: Proposal, kinds: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return judge_candidates(seed, chunk, proposal.propose(candidates(seed, chunk), kinds))


@dataclass
class Selection:
    """Kept candidates, and where to go on looking.

    Attributes:
        seed: of the candidates.
        next_chunk: the first chunk that was not looked at.
        proposal: by which candidates are looked at.
        index: numbers of the kept candidates, int64 ``[M]``, ascending.
        kind: what each is, uint8 ``[M]``.
        transform: its stored transform, int16 ``[M, 4]``.
    """

    seed: int
    next_chunk: int
    proposal: Proposal
    index: np.ndarray
    kind: np.ndarray
    transform: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def add(self, n: int, chunk: int, result: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        """Keep what :func:`judge_candidates` found in a chunk, as far as its kinds are still wanted among ``n``."""
        rows, kinds, transforms = result
        wanted = np.concatenate(
            [np.flatnonzero(kinds == kind)[: max(0, missing)] for kind, missing in self.missing(n).items()]
        )
        wanted = np.sort(wanted)
        self.index = np.concatenate([self.index, rows[wanted] + chunk * CHUNK])
        self.kind, self.transform = (
            np.concatenate([self.kind, kinds[wanted]]),
            np.concatenate([self.transform, transforms[wanted]]),
        )
        self.next_chunk = chunk + 1

    def missing(self, n: int) -> dict[int, int]:
        """How many of each kind are missing to ``n`` faces: two thirds frontal, one sixth turned to either side."""
        return {kind: math.ceil(share * n) - int((self.kind == kind).sum()) for kind, share in SHARES.items()}

    def first(self, n: int) -> Selection:
        return replace(self, index=self.index[:n], kind=self.kind[:n], transform=self.transform[:n])

    def save(self, path: str | Path) -> None:
        with atomic_path(Path(path)) as temporary, open(temporary, "wb") as file:
            steps = np.diff(self.index, prepend=0).astype(np.int32)  # small numbers compress well
            weights, seed, chunk = (
                self.proposal.weights.astype(np.float32),
                np.array(self.seed),
                np.array(self.next_chunk),
            )
            np.savez_compressed(
                file,
                seed=seed,
                next_chunk=chunk,
                proposal=weights,
                steps=steps,
                kind=self.kind,
                transform=self.transform,
            )

    @classmethod
    def load(cls, path: str | Path) -> Selection:
        """
        Raises:
            GanInvError: the file is missing or is no selection.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                index, kind, transform = np.cumsum(file["steps"].astype(np.int64)), file["kind"], file["transform"]
                found = cls(
                    int(file["seed"]),
                    int(file["next_chunk"]),
                    Proposal(file["proposal"].astype(float)),
                    index,
                    kind,
                    transform,
                )
            if not len(index) == len(kind) == len(transform) or transform.shape[1:] != (4,):
                raise ValueError("rows that do not belong together")
        except Exception as error:  # the file decides what goes wrong
            raise GanInvError(
                f"{path} is not a selection of training images: make one with `ganinv train select`. ({type(error).__name__})"
            ) from error
        return found


def begin(seed: int, first_chunk: int = 0, proposal: Proposal | None = None, pool: Executor | None = None) -> Selection:
    """A selection to go on with: empty, or, where no ``proposal`` is given, of the first ``FIT_CHUNKS`` chunks, looked at in full."""
    empty = Selection(
        seed,
        first_chunk,
        Proposal(np.zeros((len(SHARES), 2 * Z_DIM))),
        np.zeros(0, np.int64),
        np.zeros(0, np.uint8),
        np.zeros((0, 4), np.int16),
    )
    if proposal is not None:
        return replace(empty, proposal=proposal)
    chunks = range(first_chunk, first_chunk + FIT_CHUNKS)
    results = list((pool.map if pool else map)(judge_candidates, [seed] * FIT_CHUNKS, chunks))
    for chunk, result in zip(chunks, results, strict=True):
        empty.add(10**6, chunk, result)
    kinds = np.concatenate([kinds for _, kinds, _ in results])
    return replace(empty, proposal=Proposal.fit(torch.cat([candidates(seed, chunk) for chunk in chunks]), kinds))


def select(
    n: int,
    seed: int,
    path: str | Path,
    first_chunk: int = 0,
    proposal: Proposal | None = None,
    jobs: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Selection:
    """Look at candidates, chunk after chunk, until ``n`` are kept: two thirds frontal, one sixth turned to either side.

    Every few seconds the file ``path`` receives what was found; a selection that it already holds is gone on with, so nothing is lost
    where the search is stopped.

    Args:
        n: faces to keep.
        seed: of the candidates.
        path: of the selection (``.npz``).
        first_chunk: where in the stream of candidates a new selection begins.
        proposal: of an earlier selection; fitted on the first ``FIT_CHUNKS`` chunks where there is none.
        jobs: processes.
        progress: called with (kept so far, ``n``).

    Returns:
        The kept faces in the order of their numbers; more than ``n`` where ``path`` held more.

    Raises:
        GanInvError: ``path`` holds something else, or a selection from another seed.
    """
    path = Path(path)
    with ProcessPoolExecutor(max_workers=jobs, initializer=_be_worker) as pool, Interrupt() as interrupt:
        found = Selection.load(path) if path.exists() else begin(seed, first_chunk, proposal, pool)
        if found.seed != seed:
            raise GanInvError(f"{path} is a selection from seed {found.seed}, not {seed}: name another file.")
        before = len(found) if path.exists() else 0
        while kinds := [kind for kind, missing in found.missing(n).items() if missing > 0]:
            if progress:
                progress(min(len(found), n), n)
            chunks = range(found.next_chunk, found.next_chunk + GROUP)
            for chunk, result in zip(
                chunks,
                pool.map(_judge_proposed, [seed] * GROUP, chunks, [found.proposal] * GROUP, [kinds] * GROUP),
                strict=True,
            ):
                found.add(n, chunk, result)
            found.save(path)
            if interrupt.pending:
                raise KeyboardInterrupt
        if len(found) > before:  # a larger selection that was there already is left as it is
            found = found.first(n)
            found.save(path)
        return found
