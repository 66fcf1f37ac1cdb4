"""``ganinv train attributes`` and ``ganinv train identity``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import train_app
from .console import note, open_model
from .options import Model, Quiet


@train_app.command(no_args_is_help=True)
def attributes(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="Of the generator's samples (`ganinv train labels`).")
    ],
    model: Model = "faces64",
    images: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Other images, uint8 [M, 3, 64, 64], that were labelled, too.")
    ] = None,
    image_labels: Annotated[Path | None, typer.Option("--image-labels", metavar="FILE", help="Their labels.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where the network goes.")] = Path(
        "attributes.safetensors"
    ),
    quiet: Quiet = False,
) -> None:
    """Distil labels into the small network that measures edits."""
    from ..attributes.labels import load_labels
    from ..training.attributes import train_attributes
    from ..training.data import open_images

    if (images is None) != (image_labels is None):
        raise typer.BadParameter("--images and --image-labels belong together", param_hint="--images")
    found, gan = load_labels(labels), open_model(model, quiet)
    found.z(gan)  # before the work: whether they are of this generator
    real = None if images is None else (open_images(images), load_labels(image_labels))
    network = train_attributes(gan, found, real, lambda stage: note(stage, quiet))
    network.save(out)
    if not quiet:
        for name, scores in network.scores.items():
            values = "  ".join(f"{key} {value:.3f}" for key, value in scores.items())
            typer.echo(f"{name:16}{values}{'  (marked)' if name in network.marked else ''}")
        typer.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


@train_app.command(no_args_is_help=True)
def identity(
    embeddings: Annotated[
        Path,
        typer.Argument(metavar="EMBEDDINGS", help="Of the generator's samples (`ganinv train labels --identity`)."),
    ],
    model: Model = "faces64",
    images: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Other images, uint8 [M, 3, 64, 64], that have embeddings, too.")
    ] = None,
    image_embeddings: Annotated[
        Path | None, typer.Option("--image-embeddings", metavar="FILE", help="Their embeddings.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where the network goes.")] = Path(
        "identity.safetensors"
    ),
    quiet: Quiet = False,
) -> None:
    """Distil a face recogniser's embeddings into the small network that compares faces."""
    from ..training.data import open_images
    from ..training.identity import train_identity
    from ..training.labels import Embeddings, draw_samples

    if (images is None) != (image_embeddings is None):
        raise typer.BadParameter("--images and --image-embeddings belong together", param_hint="--images")
    found, gan = Embeddings.load(embeddings), open_model(model, quiet)
    found.check(gan)
    sets = [(draw_samples(gan, len(found.values), found.seed), found.values)]
    if images is not None and image_embeddings is not None:
        others = Embeddings.load(image_embeddings).values
        sets.append((open_images(images)[: len(others)], others))
    network = train_identity(sets, progress=lambda stage: note(stage, quiet))
    network.save(out)
    if not quiet:
        for name, value in network.scores.items():
            typer.echo(f"{name:16}AUC {value:.4f}")
        typer.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB")
