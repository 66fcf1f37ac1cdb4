"""``ganinv train labels``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import train_app
from .console import note, open_model, progress_bar
from .options import Model, Quiet, Seed


@train_app.command(no_args_is_help=True)
def labels(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where labels.npz goes; what was measured there is gone on with.")
    ],
    model: Model = "faces64",
    samples: Annotated[
        int | None, typer.Option("--samples", "-n", min=2, metavar="N", help="How many images (20,000, or all).")
    ] = None,
    seed: Seed = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Label the images of an array file, uint8 [M, 3, 64, 64], instead of samples."
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Labels of samples: with --images, opinions are put together as they were there."
        ),
    ] = None,
    identity: Annotated[
        bool, typer.Option("--identity", help="A face recogniser's embeddings (embeddings.npz) instead of attributes.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The labellers' files; those that are missing come there (FOLDER/labellers)."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Processes.")] = 2,
    quiet: Quiet = False,
) -> None:
    """Label a generator's samples: smile, age, pose, eyeglasses, ... by published networks that do not ship.

    Needs the extra ganinv[label], and the network once. Ctrl-C keeps what was measured; the same command goes on from there.
    """
    from functools import partial

    import numpy as np

    from ..attributes.labels import ATTRIBUTES, Labels
    from ..training import labels as making
    from ..training.data import open_images

    if (images is None) != (like is None) and not identity:
        raise typer.BadParameter("--images and --like belong together", param_hint="--images")
    reference = None if like is None else Labels.load(like)
    source: making.Samples | making.Images
    if images is None:
        gan = open_model(model, quiet)
        source = making.Samples(gan, samples or making.NUM_SAMPLES, making.SEED if seed is None else seed)
    else:
        source = making.Images(images, min(samples or 2**31, len(open_images(images))))
    make = partial(making.recogniser if identity else making.attribute_labellers, weights or folder / "labellers")
    with progress_bar("", quiet) as bar:
        task = bar.add_task("labelling", total=source.n)
        try:
            values = making.measure(
                source, folder, make, jobs, lambda done, total: bar.update(task, completed=done, total=total)
            )
        except KeyboardInterrupt:
            note(f"stopped: the same command goes on from {folder}", quiet)
            raise
    of = {"generator": source.key.get("generator", ""), "seed": source.key.get("seed", 0)}
    if identity:
        out = making.Embeddings(values, **of).save(folder / "embeddings.npz")
    else:
        among = making.population(values) if reference is None else reference.provenance["population"]
        found = Labels(
            making.combine(values, among),
            ATTRIBUTES,
            provenance=making.provenance(source.n) | {"population": among},
            **of,
        )
        out = found.save(folder / "labels.npz")
    if not quiet:
        faces = int(np.isfinite(values[:, 0]).sum())
        typer.echo(f"{out}: {faces:,} faces in {len(values):,} images")
