"""``ganinv edit``, ``ganinv directions`` and ``ganinv train directions``: what they write, say and refuse."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import ganinv
from ganinv import Inversion, cli
from ganinv.checkpoints import save_native
from ganinv.editing import Direction, load_direction, save_direction
from ganinv.inversion import METHODS
from ganinv.inversion.register import Method
from ganinv.photos import to_uint8
from ganinv.stylegan2.controls import Controls


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def gan(make_bundle):
    return make_bundle(0)


@pytest.fixture(scope="module")
def files(tmp_path_factory, gan, tiny_targets):
    """A bundle's folder with three directions, and a clone of one photo."""
    folder = tmp_path_factory.mktemp("edit")
    save_native(folder / "model/model.safetensors", {"G_ema": gan.G, "D": gan.D})
    random = torch.Generator().manual_seed(0)
    for i, name in enumerate(("smile", "eyeglasses", "age")):
        step = torch.nn.functional.normalize(torch.randn(16, generator=random), dim=0)
        facts = {
            "scores": {"strength": 1.0 + i, "mean_ad": 0.2, "max_ad": 0.4, "identity": 0.5},
            "conditioned_on": ["hat"],
        }
        direction = Direction(name, step, None, 0.0, "interfacegan", gan.sha256, facts)
        save_direction(folder / f"model/directions/{name}.safetensors", direction)
    parameters = dict(gan.G.named_parameters())
    weight = "synthesis.b8.conv0.weight"
    deltas = 0.1 * torch.randn(1, *parameters[weight].shape, generator=random)
    ws = torch.randn(1, gan.G.num_ws, 16, generator=random)
    result = Inversion("by hand", gan, tiny_targets[:1], ws, Controls.of(weights={weight: deltas.half()}))
    result.save(folder / "clone")
    return folder


@pytest.fixture
def edit(run, files, tmp_path):
    return lambda *arguments: run(
        "edit", files / "clone", "-m", files / "model", "-o", tmp_path / "edited.png", *arguments
    )


@pytest.fixture
def clone(files, gan):
    return Inversion.load(files / "clone", ganinv.load(files / "model"))


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def as_pixels(images):
    return to_uint8(images)[0].permute(1, 2, 0).numpy()


def test_named_edits_compose(edit, clone, tmp_path):
    said = edit("--smile", "1.5", "--glasses", "-1")
    assert said.exit_code == 0, said.output
    assert said.stdout.split() == [str(tmp_path / "edited.png")]
    known = ganinv.editing.directions(clone.gan)
    assert (
        pixels(tmp_path / "edited.png") == as_pixels(clone.render(known["smile"].at(1.5) + known["eyeglasses"].at(-1)))
    ).all()
    assert edit("--smile=0").exit_code == 0
    assert (pixels(tmp_path / "edited.png") == as_pixels(clone.image)).all()


def test_a_direction_of_ones_own(edit, clone, tmp_path):
    torch.save(torch.ones(1, 16), tmp_path / "mine.pt")
    said = edit("--direction", tmp_path / "mine.pt", "--strength", "-3", "-q")
    assert (said.exit_code, said.output) == (0, "")
    mine = load_direction(tmp_path / "mine.pt", clone.gan)
    assert (pixels(tmp_path / "edited.png") == as_pixels(clone.render(mine.at(-3)))).all()


def test_a_contact_sheet(edit, tmp_path):
    said = edit("--sheet", "age,smile", "--strengths", "-2,0,2")
    assert said.exit_code == 0, said.output
    sheet = Image.open(tmp_path / "edited.png")
    assert sheet.width > 1.2 * sheet.height  # three columns, two rows


def test_a_local_edit_and_an_animation(edit, clone, tmp_path):
    white = np.zeros((32, 32, 3), dtype=np.uint8)
    white[:, :16] = 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    said = edit("--smile", "2", "--mask", tmp_path / "mask.png", "--animation", tmp_path / "walk.webp")
    assert said.exit_code == 0, said.output
    smile = ganinv.editing.directions(clone.gan)["smile"]
    mask = torch.from_numpy(white[..., 0] > 0)
    local = ganinv.editing.within(clone.gan, smile, mask, clone.ws)
    assert (pixels(tmp_path / "edited.png") == as_pixels(clone.render(local.at(2)))).all()
    with Image.open(tmp_path / "walk.webp") as strip:
        assert strip.n_frames == 2 * cli.edit.FRAMES - 2
        assert strip.size == (256, 256)
        first = np.asarray(strip.convert("RGB"))[::8, ::8]
        strip.seek(cli.edit.FRAMES - 1)
        assert (np.asarray(strip.convert("RGB"))[::8, ::8] == pixels(tmp_path / "edited.png")).all()
    assert (first == as_pixels(clone.image)).all()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--frown", "1"], 1, "model has no direction 'frown': it has age, eyeglasses, smile."),
        (["--e", "1"], 1, "model has several directions 'e': age, eyeglasses, smile."),
        (["--smile", "nan"], 1, "the strength of smile has to be a finite number, not nan."),
        (["--smile", "much"], 2, "'much' is no number"),
        (["--smile"], 2, "--smile needs a strength"),
        (["smile", "1"], 2, "is neither an option nor a direction"),
        ([], 2, "say what to change"),
        (["--direction", "x.pt", "--strength", "1"], 1, "x.pt: there is no such file"),
        (["--sheet", "smile", "--smile", "1"], 2, "no other edit"),
        (["--sheet", "smile", "--strengths", "a"], 2, "'a' is no number"),
        (["--smile", "1", "--animation", "walk.gif"], 1, "call it walk.webp"),
        (["--smile", "1", "--mask", "nowhere.png"], 1, "nowhere.png"),
        (["--smile", "1", "-o", "edited.xyz"], 1, "edited.xyz cannot be written"),
    ],
)
def test_what_is_refused(edit, arguments, code, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = edit(*arguments)
    assert result.exit_code == code, result.output
    assert said in " ".join(result.output.replace("│", " ").split()), result.output
    if code == 1:
        assert len(result.stderr.strip().splitlines()) == 1


def test_a_direction_of_another_width(edit, tmp_path):
    torch.save(torch.ones(1, 512), tmp_path / "age.pt")
    said = edit("--direction", tmp_path / "age.pt", "--strength", "1")
    assert said.exit_code == 1
    assert "of width 512, and the generator's codes of 16" in said.stderr


def test_a_clone_of_another_model(run, files, another_bundle, tmp_path):
    save_native(tmp_path / "other.safetensors", {"G_ema": another_bundle.G})
    said = run("edit", files / "clone", "-m", tmp_path / "other.safetensors", "--smile", "1")
    assert said.exit_code == 1
    assert "holds a clone of the generator" in said.stderr


def test_directions_are_listed(run, files, tmp_path, gan):
    said = run("directions", "-m", files / "model")
    assert said.exit_code == 0, said.output
    rows = [line for line in said.stdout.splitlines() if "interfacegan" in line]
    assert len(rows) == 3
    assert [word in rows[2] for word in ("smile", "1.00", "0.20", "0.40", "hat")] == [True] * 5
    table = json.loads(run("directions", "-m", files / "model", "--json").stdout)
    assert table["age"]["scores"]["strength"] == 3
    save_native(tmp_path / "lonely.safetensors", {"G_ema": gan.G})
    assert "lonely comes without directions" in run("directions", "-m", tmp_path / "lonely.safetensors").stdout


# --- ganinv train directions ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def train(run, files, tmp_path):
    return lambda *arguments: run("train", "directions", *arguments, "-m", files / "model", "-o", tmp_path / "found")


def write_csv(path, head, rows):
    path.write_text("\n".join([",".join(head), *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("source", ["z", "seed"])
def test_ones_own_attribute_from_codes(train, gan, source, tmp_path, unit_vector):
    seeds = range(2000)
    zs = torch.stack([gan.randn([16], torch.Generator().manual_seed(seed)) for seed in seeds])
    labels = (gan.G.mapping(zs)[:, 0] @ unit_vector).tolist()
    cells = list(seeds) if source == "seed" else [" ".join(f"{x:.8f}" for x in z) for z in zs.tolist()]
    rows = [(cell, label if i % 50 else "") for i, (cell, label) in enumerate(zip(cells, labels, strict=True))]
    said = train(write_csv(tmp_path / "labels.csv", [source, "freckles"], rows), "--set", "share=0.3")
    assert said.exit_code == 0, said.output
    assert said.stdout.split() == [str(tmp_path / "found" / "freckles.safetensors")]
    assert "no direction is judged" in said.stderr
    found = load_direction(tmp_path / "found" / "freckles.safetensors", gan)
    assert torch.nn.functional.cosine_similarity(found.step, unit_vector, dim=0) > 0.95
    table = json.loads((tmp_path / "found" / "scores.json").read_text(encoding="utf-8"))
    assert table["freckles"]["ships"]
    assert table["freckles"]["found_from"]["codes"] == 1960


@pytest.fixture
def brightness(monkeypatch):
    """A method that finds a picture's brightness along the first coordinate of w."""

    def invert(gan, target, config):
        ws = gan.G.mapping.w_avg.repeat(len(target), gan.G.num_ws, 1)
        ws[:, :, 0] += target.mean(dim=(1, 2, 3))[:, None]
        return Inversion("brightness", gan, target, ws)

    monkeypatch.setitem(METHODS, "brightness", Method(invert, None, "", "search"))


def test_ones_own_attribute_from_pictures(train, brightness, tmp_path, gan):
    rows = []
    for i in range(20):
        image = Image.new("RGB", (32, 32), (10 * i, 10 * i, 10 * i))
        (tmp_path / "photos").mkdir(exist_ok=True)
        image.save(tmp_path / f"photos/{i}.png")
        rows.append((f"photos/{i}.png", int(i >= 10)))
    labels = write_csv(tmp_path / "labels.csv", ["image", "bright"], rows)
    options = ["--align", "none", "--set", "share=0.5"]
    said = train(labels, "--method", "brightness", *options)
    assert said.exit_code == 0, said.output
    step = load_direction(tmp_path / "found/bright.safetensors", gan).step
    assert step[0] > 0.99 * step.norm()
    said = train(labels, "--method", "nowhere", *options)
    assert (said.exit_code, "there is no method 'nowhere'" in said.stderr) == (1, True)
    rows[2] = ("photos/missing.png", 0)
    said = train(write_csv(tmp_path / "labels.csv", ["image", "bright"], rows), "--method", "brightness", *options)
    assert "line 4: " in said.stderr
    assert "missing.png" in said.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", "its first line should name one column image, z or seed"),
        ("seed,z,b\n1,2,3\n", "its first line"),
        ("seed\n1\n", "its first line"),
        ("seed,b,b\n1,2,3\n", "its first line"),
        ("seed,../b\n1,2\n", "its first line"),
        ("", "its first line"),
        ("seed,b\n", "has 0 rows"),
        ("seed,b\n1\n", "line 2, has 1 cells"),
        ("seed,b\n1,much\n", "line 2: 'much' is no number"),
        ("seed,b\n1,inf\n", "line 2: 'inf' is no number"),
        ("seed,b\nx,1\n", "its seed should be a whole number, not 'x'"),
        ("z,b\n1 2,1\n", "its z should be 16 numbers separated by spaces"),
        ("seed,b\n1,1\n2,1\n3,1\n4,1\n5,1\n", "all the same"),
    ],
)
def test_labels_that_cannot_be_used(train, content, said, tmp_path):
    (tmp_path / "labels.csv").write_text(content, encoding="utf-8")
    result = train(tmp_path / "labels.csv")
    assert result.exit_code == 1, result.output
    assert said in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("error")]) == 1


@pytest.fixture
def unit_vector():
    return torch.nn.functional.normalize(torch.randn(16, generator=torch.Generator().manual_seed(3)), dim=0)
