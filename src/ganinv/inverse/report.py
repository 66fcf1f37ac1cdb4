"""What ``ganinv recover`` leaves behind: pictures, and ``report.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..devices import describe
from ..errors import GanInvError
from ..files import shown, write_text
from ..photos import save_png
from ..report import draw, finite, staged, versions
from .recovery import Recovery


def make_report(found: Recovery, photo: str, noise: float, seed: int) -> dict[str, Any]:
    """The facts about one recovered photo, as JSON values."""
    report = {
        "photo": shown(photo),
        "model": found.gan.name,
        "problem": found.operator.name,
        "measurements": found.operator.m,
        "pixels": found.operator.n,
        "noise": noise,
        "seed": seed,
        "solver": found.solver,
        "config": found.config,
        "versions": versions(),
        "device": describe(found.gan.device),
        "precision": found.gan.precision,
        "seconds": round(found.seconds, 3),
        "misfit": found.misfit[0].item(),
        "scores": {name: value for name, value in found.scores_each[0].items() if name != "mse_own_noise"},
        "warnings": [sentence for sentence in found.warnings if sentence],
    }
    facts: dict[str, Any] = finite(report)
    return facts


def write_results(folder: str | Path, found: Recovery, report: dict[str, Any]) -> None:
    """Write ``recovered.png``, ``comparison.png``, ``restarts.png`` where there were several, and ``report.json`` into ``folder``; all or none.

    Raises:
        GanInvError: the folder cannot be written; or a figure cannot be drawn, and the others have been written.
    """
    from .. import plots  # Matplotlib, which nothing else here needs

    assert found.target is not None
    pictures = [found.target[0], found.operator.picture(found.y)[0].clamp(-1, 1), found.image[0].clamp(-1, 1)]
    titles = ["photo", found.operator.name, found.solver]
    with staged(folder, "comparison.png", "restarts.png") as stage:
        save_png(stage / "recovered.png", found.image[:1].clamp(-1, 1))
        failure = draw(stage / "comparison.png", lambda: plots.show_images(pictures, titles))
        if found.candidates is not None and (n := found.candidates.shape[1]) > 1 and not failure:
            labels = [f"loss {loss:.3g}" for loss in found.losses[0].tolist()] if found.losses is not None else [""] * n
            restarts = list(found.candidates[0].clamp(-1, 1))
            failure = draw(stage / "restarts.png", lambda: plots.show_images(restarts, labels))
        write_text(stage / "report.json", json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if failure:
        raise GanInvError(f"a picture in {Path(folder)} {failure}: the other results are there.")
