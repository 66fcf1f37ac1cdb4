"""Every method on every photo."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import GanInvError
from ..inversion import METHODS
from ..perception.features import EFFICIENTNET
from ..zoo import Bundle
from .backends import LOCAL
from .photos import Photos
from .profiles import FULL, check_profile, default_config, default_samples, missing_encoders, suited
from .table import Study, run_study
from .tasks import Progress, Variant

ALL = "all"


def compare(
    gan: Bundle,
    photos: Photos,
    methods: Sequence[str] | str | None = None,
    configs: Mapping[str, Any] | None = None,
    profile: str = FULL,
    source: str = "",
    trunk: str = EFFICIENTNET,
    samples: int | None = None,
    jobs: int = 1,
    backend: str = LOCAL,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Study:
    """Invert every photo by every method, and score the reconstructions.

    Args:
        photos: ``{name: [1, 3, R, R] in [-1, 1]}``, see :func:`ganinv.study.photo_set`.
        methods: names in ``METHODS``; for ``None`` or ``"all"``, those registered whose encoders ship with the bundle (``notes`` names the others).
        configs: configurations by method; the defaults of ``METHODS`` for those that are missing. A method that needs real images is given
            samples of the untouched generator where the bundle has none.
        profile: ``"full"``, or ``"fast"``, which cuts those defaults to 20 steps a stage and ``samples`` to 200: a try.
        source: where the photos are from, for the outputs.
        trunk: whose perceptual distance is reported.
        samples: random images behind the Fréchet distance of a method that tunes the generator (2000 by default); 0 measures none.
        jobs, backend, cache, progress: see :func:`ganinv.study.tasks.run_tasks`.

    Raises:
        GanInvError: no such method or trunk, no photos, a method that was named has no encoder, or the cache or the backend fails. What fails
            in one task is in ``failures``.
    """
    check_profile(profile)
    configs = configs or {}
    everything = methods is None or methods == ALL or list(methods) == [ALL]
    names = list(METHODS) if everything else [methods] if isinstance(methods, str) else list(methods or [])
    variants: dict[str, Variant] = {}
    without: list[str] = []
    for name in names:
        if name not in METHODS:
            raise GanInvError(f"There is no method {name!r}: choose from {', '.join(METHODS)}.")
        config = suited(configs[name], gan) if name in configs else default_config(METHODS[name].config, gan, profile)
        if everything and missing_encoders(config, gan):
            without.append(name)
        else:
            variants[name] = Variant(name, config)
    label = {"set": source, "profile": profile}
    samples = default_samples(profile) if samples is None else samples
    study = Study("compare", gan, photos, variants, trunk, samples, label)
    if without:
        study.notes.append(
            f"left out, for want of encoders trained for {gan.name}: {', '.join(without)} (`ganinv train encoder` trains them, and a configuration "
            "names their files)."
        )
    return run_study(study, jobs, backend, cache, progress)
