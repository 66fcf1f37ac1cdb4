"""Live figures: the page's networks have to compute what the package's do, in a real browser, from a server and from a disk."""

import base64
import functools
import hashlib
import http.server
import io
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
BROWSER = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FIREFOX = [os.environ["FIREFOX"]] if "FIREFOX" in os.environ else ["/usr/bin/firefox-esr", "/usr/bin/firefox"]
firefox = pytest.param(
    "firefox",
    marks=pytest.mark.skipif(
        not any(map(os.path.exists, FIREFOX)), reason=f"no Firefox at {' or '.join(FIREFOX)}: name one in FIREFOX"
    ),
)
in_browsers = pytest.mark.parametrize("browser", ["chromium", firefox])
PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>T</title><link rel="icon" href="data:,">'
    '<link rel="stylesheet" href="_static/live/live.css"></head><body><main><h1>T</h1>{body}</main>'
    '<script src="_static/live/live.js"></script><script>window.result = (async () => {{ {script} }})();</script></body></html>'
)
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytestmark = [
    pytest.mark.skipif(
        not (ROOT / "node_modules" / "playwright-core").is_dir(), reason="node_modules is not installed"
    ),
    pytest.mark.skipif(not (Path(BROWSER).exists() and shutil.which("node")), reason="no Chromium or no node"),
]

sys.path.insert(0, str(ROOT / "book" / "_ext"))

import export_web  # noqa: E402
import live_figures  # noqa: E402
import pack  # noqa: E402
import shipped_clones  # noqa: E402
import vendor  # noqa: E402

import ganinv  # noqa: E402
from ganinv.checkpoints.native import save_checkpoint  # noqa: E402
from ganinv.editing import Direction, directions, save_direction  # noqa: E402
from ganinv.inversion import NearPerfect, Projection, near_perfect  # noqa: E402
from ganinv.photos import from_pil, load_target, to_uint8  # noqa: E402
from ganinv.photos.faces import align_face, find_faces, level_frame  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory, make_bundle, tiny_targets) -> Path:
    """A tiny model's folder, with portraits, and with directions in W, W+ and S."""
    gan, folder = make_bundle(0), tmp_path_factory.mktemp("model") / "tiny"
    folder.mkdir()
    for tensor in [*gan.G.parameters(), *gan.G.buffers()]:
        tensor.data.copy_(tensor.half().float())  # as in a model that ships
    save_checkpoint(folder / "model.safetensors", {"G_ema": gan.G}, dtype=torch.float16)
    for part in ("real", "directions"):
        (folder / part).mkdir()
    for name, image in zip(("ada_lovelace", "emmy_noether"), tiny_targets, strict=True):
        Image.fromarray(to_uint8(image[None])[0].permute(1, 2, 0).numpy()).save(folder / "real" / f"{name}.png")
    steps = torch.randn(3, gan.G.w_dim, generator=torch.Generator().manual_seed(5))
    styles = Direction("hat", 0.3 * steps[2]).in_s(gan.G)
    channels = {name: torch.arange(len(part)) < 3 for name, part in list(styles.step.items())[2:5]}
    for direction in (
        Direction("smile", 0.3 * steps[0]),
        Direction("look_left", 0.3 * steps[1], layers=(0, 2)),
        styles.only(channels),
    ):
        save_direction(folder / "directions" / f"{direction.name}.safetensors", direction)
    return folder


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    """Clones are tuned for as long as it takes to see that they are."""
    quick = {"steps": 12, "initial": Projection(space="w_plus", steps=3, optimise_noise=False)}
    with pytest.MonkeyPatch.context() as patch:
        methods = {kind: replace(config, **quick) for kind, config in shipped_clones.METHODS.items()}
        patch.setattr(shipped_clones, "METHODS", methods)
        yield


@pytest.fixture(scope="module")
def site(tmp_path_factory, model) -> Path:
    """A folder of pages with the scripts, the runtime, and the networks of the tiny model and of the detector."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "book/_static/live", folder / "_static/live")
    vendor.vendor(ROOT / "node_modules", folder / "_static/vendor")
    assert export_web.main(["--model", str(model), "--out", str(folder / "_static/live/networks")]) == 0
    return folder


@pytest.fixture(scope="module")
def server(site):
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(site))
    ) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def visit(address: str, *options: str, browser: str = "chromium", timeout: float = 300) -> dict:
    """What happened on a page."""
    command = ["node", str(ROOT / "tests/book/open_page.mjs"), address, "--browser", browser, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sound(visited: dict) -> dict:
    assert visited["errors"] == []
    assert visited["external"] == []
    return visited["result"]


def loads_as_told(visited: dict, site: Path, kind: str, model: str) -> None:
    """What a figure loaded is what its button says, but for scripts of a few kilobytes."""
    static = site / "_static"
    loaded = {url.partition("/_static/")[2] for url in visited["requests"]} - {""}
    told = live_figures.megabytes(static, kind, model)
    assert sum((static / file).stat().st_size for file in loaded) / 1e6 == pytest.approx(told, abs=0.07)


def bytes_of(images) -> torch.Tensor:
    return (torch.as_tensor(images).clamp(-1, 1) * 127.5 + 127.5).round()


DRAW = """
    const engine = await ganinvLive.engine(), model = await ganinvLive.model("tiny");
    await ganinvLive.script("codes.js");
    const G = await ganinvGenerator.of(engine, model);
    const z = Float32Array.from(%s);
    const w = await G.w(z), ws = G.truncate(G.ws(w), 0.6);
    return { w: [...w], image: [...(await G.image(ws)).data], threads: navigator.hardwareConcurrency };
"""


@in_browsers
def test_what_leaves_a_page_is_noticed(site, server, browser):
    call = f'await fetch("{server}/missing", {{ mode: "no-cors" }});'
    (site / "leaving.html").write_text(PAGE.format(body="", script=call), encoding="utf-8")
    assert visit((site / "leaving.html").as_uri(), browser=browser)["external"] == [f"{server}/missing"]


@in_browsers
@pytest.mark.parametrize("from_disk", [True, False], ids=["file", "http"])
def test_the_page_draws_what_pytorch_draws(site, server, model, from_disk, browser):
    G = ganinv.load(model).G
    z = torch.randn(1, G.z_dim, generator=torch.Generator().manual_seed(1))
    (site / "draw.html").write_text(PAGE.format(body="", script=DRAW % z[0].tolist()), encoding="utf-8")
    found = sound(visit((site / "draw.html").as_uri() if from_disk else f"{server}/draw.html", browser=browser))
    with torch.no_grad():
        ws = G.mapping(z, truncation_psi=0.6)
        image = G.synthesis(ws)
    assert torch.allclose(torch.tensor(found["w"]), G.mapping(z)[0, 0], atol=1e-4)
    assert (bytes_of(found["image"]) - bytes_of(image.flatten())).abs().max() <= 1


FIGURE = (
    '<div data-live="latent-explorer" data-model="tiny" data-name="Latent explorer" data-button="Start" hidden></div>'
)
STEPS = """
const pixels = (tab) => tab.locator(".live-pictures > canvas").evaluate((canvas) => canvas.toDataURL());
const settled = (tab, words) => tab.waitForFunction((part) => document.querySelector("[role=status]").textContent.includes(part), words);
export default async (tab) => {
  await tab.keyboard.press("Tab");
  await tab.keyboard.press("Enter");                      // the start button is the first thing to reach
  await settled(tab, "50 % of the way from a to b, in Z");
  const pictures = [await pixels(tab)];
  await tab.getByRole("slider", { name: "From a to b" }).focus();
  for (let i = 0; i < 3; i++) await tab.keyboard.press("ArrowRight");
  await settled(tab, "53 % of the way");
  pictures.push(await pixels(tab));
  const walk = await tab.getByRole("button", { name: "Walk" }).count();
  await tab.getByRole("radio", { name: "W+" }).check();
  await settled(tab, "styles of b in no layer");
  const [first, third] = await Promise.all([0, 2].map((i) => tab.locator(".live-strip input").nth(i).boundingBox()));
  await tab.mouse.move(first.x + 5, first.y + 1);
  await tab.mouse.down();                                  // across three layers
  await tab.mouse.move(third.x + 5, third.y + 1, { steps: 20 });
  await tab.mouse.up();
  await settled(tab, "layer 3");
  pictures.push(await pixels(tab));
  return { pictures, walk,
           label: await tab.locator(".live-pictures > canvas").getAttribute("aria-label"),
           value: await tab.locator(".live-strip input").first().getAttribute("aria-valuetext"),
           shares: await tab.locator(".live-strip input").evaluateAll((all) => all.map((input) => Number(input.value))) };
};
"""


@in_browsers
@pytest.mark.parametrize(("from_disk", "calm"), [(True, False), (False, True)], ids=["file", "http, calm"])
def test_the_latent_explorer_is_used_by_keyboard_and_pointer(site, server, model, tmp_path, from_disk, calm, browser):
    (site / "figure.html").write_text(PAGE.format(body=FIGURE, script=""), encoding="utf-8")
    (tmp_path / "steps.mjs").write_text(STEPS, encoding="utf-8")
    address = (site / "figure.html").as_uri() if from_disk else f"{server}/figure.html"
    visited = visit(address, "--steps", str(tmp_path / "steps.mjs"), *(["--calm"] if calm else []), browser=browser)
    found = sound(visited)
    if browser == "chromium":
        loads_as_told(visited, site, "latent-explorer", "tiny")
    if browser == "chromium" or not from_disk:  # Firefox does not tell of files
        loaded = [Path(url).name for url in visited["before"] if not url.startswith("data:")]
        assert loaded == ["figure.html", "live.css", "live.js"]  # nothing else before it is asked for
    assert found["walk"] == (0 if calm else 1)  # nothing moves by itself for who asked for that
    assert found["label"].startswith("Face a with the styles of b in layer 1")
    assert float(found["value"]) > 90
    gan = ganinv.load(model)
    z, mapping = export_web.shown_z(gan), gan.G.mapping
    a, b = mapping(z, truncation_psi=0.7).split(1)
    between = [mapping(z[:1].lerp(z[1:], t), truncation_psi=0.7) for t in (0.5, 0.53)]
    mixed = a.lerp(b, torch.tensor(found["shares"])[:, None])
    with torch.no_grad():
        here = gan.G.synthesis(torch.cat([*between, mixed]))
    for image, picture in zip(here, map(decoded, found["pictures"]), strict=True):
        assert (bytes_of(image) - picture).abs().max() <= 1
    assert len(set(found["pictures"])) == 3


EDITS = """
const settled = (tab, words) => tab.waitForFunction((part) => document.querySelector("[role=status]").textContent.includes(part), words);
const shown = (tab) => tab.locator("canvas").evaluateAll((all) => all.map((canvas) => canvas.toDataURL()));
const press = async (tab, name, key, times) => {
  await tab.getByRole("slider", { name }).focus();
  for (let i = 0; i < times; i++) await tab.keyboard.press(key);
};
export default async (tab) => {
  await tab.getByRole("button", { name: "Start" }).press("Enter");
  await settled(tab, "not edited");
  const found = [await shown(tab)];
  await press(tab, "Smile", "ArrowRight", 10);
  await press(tab, "Look left", "ArrowLeft", 5);
  await press(tab, "Hat", "ArrowRight", 20);
  await settled(tab, "Hat 2.0 σ, Look left -0.5 σ, Smile 1.0 σ");
  await settled(tab, "Both drawn");
  found.push(await shown(tab));
  await tab.getByRole("radio", { name: "Emmy Noether" }).check();
  await settled(tab, "Emmy Noether. The face with"); // the edits go on
  found.push(await shown(tab));
  const labels = await tab.locator("canvas").evaluateAll((all) => all.map((canvas) => canvas.getAttribute("aria-label")));
  return { found, labels, text: await tab.locator(".live-panel").innerText() };
};
"""


def decoded(address: str) -> torch.Tensor:
    """The pixels [3, R, R] of a canvas's data URL."""
    picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")
    return torch.tensor(np.array(picture)).permute(2, 0, 1).float()


def clones_in(site: Path, gan, name: str, model: str = "tiny") -> dict[str, shipped_clones.Shipped]:
    """The clones of a portrait, from what a page reads."""
    text = (site / f"_static/live/networks/{model}/{name}.js").read_text(encoding="utf-8")
    return shipped_clones.read(gan, pack.unpacked(text))


@in_browsers
def test_the_edit_explorer_draws_the_edits_that_the_package_draws(site, model, tmp_path, browser):
    figure = FIGURE.replace("latent-explorer", "edit-explorer")
    (site / "edits.html").write_text(PAGE.format(body=figure, script=""), encoding="utf-8")
    (tmp_path / "steps.mjs").write_text(EDITS, encoding="utf-8")
    visited = visit((site / "edits.html").as_uri(), "--steps", str(tmp_path / "steps.mjs"), browser=browser)
    found = sound(visited)
    if browser == "chromium":  # Firefox does not tell of files
        assert len(visited["before"]) == 3  # the page, the script and the style sheet
        visited["requests"].remove((site / "_static/live/networks/tiny/clones-2.js").as_uri())
        loads_as_told(visited, site, "edit-explorer", "tiny")
    gan = ganinv.load(model)
    known = directions(gan)
    assert {direction.space for direction in known.values()} == {"w", "w+", "s"}
    edit = known["smile"].at(1.0) + known["look_left"].at(-0.5) + known["hat"].at(2.0)
    for page, portrait, edited in ((0, "ada_lovelace", False), (1, "ada_lovelace", True), (2, "emmy_noether", True)):
        photo = load_target(gan.photos[portrait], gan.resolution, "none")
        clones = clones_in(site, gan, {"ada_lovelace": "clones-1", "emmy_noether": "clones-2"}[portrait])
        pictures = [decoded(address) for address in found["found"][page]]
        assert (bytes_of(photo[0]) - pictures[0]).abs().max() == 0
        for kind, picture in zip(("weights", "noise"), pictures[1:], strict=True):
            clone = shipped_clones.drawn(gan, clones[kind])
            here = clone.render(edit) if edited else clone.image
            assert (bytes_of(here[0]) - picture).abs().max() <= 1, (page, kind)
            error = (clone.image.clamp(-1, 1) - photo).square().mean().item()
            assert error == pytest.approx(clones[kind].mse, rel=1e-3)
            assert (here - gan.G.synthesis(clone.ws)).abs().mean() > 0.01  # it is no longer the generator's
    assert found["labels"][2].startswith("Emmy Noether, near-perfect, with tuned noise. The face with Hat")
    assert "squared error" in found["text"]


def test_a_shipped_clone_is_the_clone(tiny_bundle, tiny_targets):
    config = replace(shipped_clones.METHODS["noise"], steps=5, initial=Projection(space="w_plus", steps=2))
    found = near_perfect(tiny_bundle, tiny_targets[:1], config)
    clone = shipped_clones.shipped(tiny_bundle, found)
    here = shipped_clones.drawn(tiny_bundle, clone)
    assert (bytes_of(here.image) - bytes_of(found.image)).abs().max() <= 2
    assert clone.mse == pytest.approx(found.scores["mse"], rel=0.05)
    values = sum(part.numel() for part in clone.bytes.values())
    assert values < len(clone.data()) < 1.6 * values
    again = shipped_clones.read(tiny_bundle, shipped_clones.files({"noise": clone}))["noise"]
    assert torch.equal(shipped_clones.drawn(tiny_bundle, again).image, here.image)


def test_clones_are_made_once(tiny_bundle, tiny_targets, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(shipped_clones, "clones", lambda *given: made.append(given) or {})
    for _ in range(2):
        shipped_clones.kept(tiny_bundle, tiny_targets[:1], tmp_path, "full")
    assert len(made) == 1
    shipped_clones.kept(tiny_bundle, tiny_targets[1:], tmp_path, "full")
    assert len(made) == 2
    monkeypatch.setattr(shipped_clones, "METHODS", {"weights": NearPerfect(steps=600)})
    for profile in ("full", "fast", "fast"):  # which has fewer steps
        shipped_clones.kept(tiny_bundle, tiny_targets[1:], tmp_path, profile)
    assert len(made) == 4


def test_a_page_without_its_networks_says_so(site):
    broken = FIGURE.replace('data-model="tiny"', 'data-model="none"')
    (site / "broken.html").write_text(PAGE.format(body=broken, script=""), encoding="utf-8")
    (site / "steps.mjs").write_text(
        'export default async (tab) => { await tab.click("button"); await tab.getByText("It could not start").waitFor();'
        ' return tab.textContent("[role=status]"); };',
        encoding="utf-8",
    )
    visited = visit((site / "broken.html").as_uri(), "--steps", str(site / "steps.mjs"))
    assert "networks/none/manifest.js is missing" in visited["result"]


def test_packed_files_are_small_and_come_back(model, site):
    network = pack.unpacked((site / "_static/live/networks/tiny/synthesis.js").read_text(encoding="utf-8"))[
        "network.onnx"
    ]
    weights = sum(p.numel() for p in ganinv.load(model).G.synthesis.parameters())
    assert 2 * weights < len(network) < 3.2 * weights + 40_000  # two bytes a weight
    text = pack.packed("a/b", {"x": b"abc", "y": b""})
    assert text == pack.packed("a/b", {"x": b"abc", "y": b""})
    assert pack.unpacked(text) == {"x": b"abc", "y": b""}


def test_what_did_not_change_is_not_exported_again(model, site):
    folder = site / "_static/live/networks/tiny"
    before = (folder / "synthesis.js").stat().st_mtime_ns
    export_web.export_model(str(model), folder.parent)
    assert (folder / "synthesis.js").stat().st_mtime_ns == before
    (model / "MODEL_CARD.md").write_text("A card.\n", encoding="utf-8")
    export_web.export_model(str(model), folder.parent)
    assert (folder / "MODEL_CARD.md").read_text(encoding="utf-8") == "A card.\n"
    assert (folder / "synthesis.js").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["a direction", "the profile", "nothing"])
def test_what_did_change_is_exported_again(model, site, tmp_path, monkeypatch, change):
    def begin(gan):
        raise InterruptedError("networks are being exported")

    monkeypatch.setattr(export_web, "networks_of", begin)
    shutil.copytree(site / "_static/live/networks/tiny", tmp_path / "networks/tiny")
    shutil.copytree(model, tmp_path / "model/tiny")
    if change == "a direction":
        (tmp_path / "model/tiny/directions/smile.safetensors").unlink()
    profile = export_web.FAST if change == "the profile" else export_web.FULL
    with nullcontext() if change == "nothing" else pytest.raises(InterruptedError, match="networks are being exported"):
        export_web.export_model(str(tmp_path / "model/tiny"), tmp_path / "networks", profile=profile)


def test_licences_are_carried(site):
    for name in (
        "vendor/onnxruntime/LICENSE",
        "vendor/onnxruntime/ThirdPartyNotices.txt",
        "live/networks/face_detector/LICENSE",
    ):
        assert "opyright" in (site / "_static" / name).read_text(encoding="utf-8")


CLONE = """
    await ganinvLive.script("engine.js");
    await Promise.all(["codes.js", "tuner.js", "clone-file.js"].map((file) => ganinvLive.script(file)));
    const [engine, model] = await Promise.all([ganinvLive.engine(ganinvTuner), ganinvLive.model("tiny")]);
    for (const part of ["mapping", "drawing", "tuning"]) await model.open(engine, part);
    const { names, shapes, values, fixed } = await model.weights();
    const target = Float32Array.from(%s), ws = Float32Array.from({ length: model.num_ws * model.w_dim }, (_, i) => model.w_avg[i %% model.w_dim]);
    const { z_dim, w_dim, num_ws, resolution } = model;
    const config = { ...model.tuning, ...%s, z_dim, w_dim, num_ws, resolution, show_ms: 0 };
    const styles = Object.values(model.styles).reduce((sum, size) => sum + size, 0);
    await engine.ask("tune-begin", { names, shapes, values, fixed, styles, ws, target, config });
    const news = [];
    let rested, until = %d;
    engine.on("tuning", (told) => {
      news.push(told.error ?? told.mse);
      if (told.step === until) { until = 0; engine.ask("tune-stop"); }
      if (told.rested || told.error) rested();
    });
    const rest = () => new Promise((resolve) => { rested = resolve; engine.ask("tune-go"); });
    await rest();
    const halfway = (await engine.ask("tune-result")).history.length;
    await rest();                                            // goes on, or was at the end
    const result = await engine.ask("tune-result");
    const zip = ganinvCloneFile.clone(result, target, target, model);
    const mse = result.history.map((row) => row.mse), letters = Array.from(zip, (byte) => String.fromCharCode(byte));
    return { news, halfway, mse, ws: [...result.ws], zip: btoa(letters.join("")) };
"""


@in_browsers
def test_the_page_tunes_as_the_package_does_and_its_clone_is_loaded(site, model, tmp_path, tiny_targets, browser):
    gan, target = ganinv.load(model), tiny_targets[:1]
    settings = {"steps": 6, "lambda_locality": 0.0}
    script = CLONE % (target.flatten().tolist(), json.dumps(settings), 2)
    (site / "tune.html").write_text(PAGE.format(body="", script=script), encoding="utf-8")
    found = sound(visit((site / "tune.html").as_uri(), browser=browser))
    assert 2 <= found["halfway"] < 6  # it stopped, and went on from there
    start = export_web.mean_code(gan, target)
    here = near_perfect(gan, target, replace(export_web.TUNING, **settings), start=start)
    expected = [row["mse"] for row in here.history]
    assert found["mse"] == pytest.approx(expected, rel=0.02)
    assert expected[-1] < 0.9 * expected[0]

    (tmp_path / "clone.zip").write_bytes(base64.b64decode(found["zip"]))
    with zipfile.ZipFile(tmp_path / "clone.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    clone = ganinv.Inversion.load(tmp_path / "clone", gan)
    assert clone.tuned
    assert torch.allclose(clone.ws.flatten(), torch.tensor(found["ws"]))
    assert (bytes_of(clone.image) - bytes_of(here.image)).abs().float().mean() < 2
    assert (clone.image - target).square().mean().item() == pytest.approx(found["news"][-1], rel=1e-2)


def test_the_tether_holds_random_faces(site, tiny_targets):
    script = CLONE % (tiny_targets[0].flatten().tolist(), json.dumps({"steps": 4}), 0)
    (site / "tether.html").write_text(PAGE.format(body="", script=script), encoding="utf-8")
    found = sound(visit((site / "tether.html").as_uri()))
    assert len(found["mse"]) == 4
    assert found["mse"][-1] < found["mse"][0]


NUMBERS = """
    await ganinvLive.script("clone-file.js");
    const values = Float32Array.from(%s), halves = [...values].map(ganinvCloneFile.half);
    const sha = [0, 3, 55, 56, 64, 1000].map((n) => ganinvCloneFile.sha256(new Uint8Array(n).fill(7)));
    return { halves, back: [...ganinvCloneFile.unhalf(halves)], sha };
"""


def test_the_page_rounds_and_hashes_as_everyone_does(site):
    random = np.random.default_rng(0)
    values = np.concatenate(
        [
            random.normal(size=300) * 10.0 ** random.integers(-9, 5, size=300),
            [0, 65504, 65519, 2**-24, 2**-25, 1 + 2**-11],
        ]
    )
    values = values.astype(np.float32)
    (site / "numbers.html").write_text(PAGE.format(body="", script=NUMBERS % values.tolist()), encoding="utf-8")
    found = sound(visit((site / "numbers.html").as_uri()))
    assert found["halves"] == values.astype(np.float16).view(np.uint16).tolist()
    assert found["back"] == values.astype(np.float16).astype(float).tolist()
    assert found["sha"] == [hashlib.sha256(b"\x07" * n).hexdigest() for n in (0, 3, 55, 56, 64, 1000)]


ALIGN = """
    await ganinvLive.script("engine.js");
    await ganinvLive.script("faces.js");
    const engine = await ganinvLive.engine();
    const detector = await ganinvFaces.Detector.of(engine, await ganinvLive.model("face_detector"));
    const picture = await createImageBitmap(await (await fetch("data:image/png;base64,%s")).blob());
    const photo = ganinvFaces.fromPicture(picture), faces = await detector.find(photo);
    const frame = await detector.level(photo, faces[0]);
    return { count: faces.length, frame, landmarks: faces[0].landmarks, image: [...ganinvFaces.image(ganinvFaces.crop(photo, frame, 64)).data] };
"""


@in_browsers
def test_the_page_frames_a_photo_as_the_package_does(site, browser):
    photo = Image.fromarray(skimage.data.astronaut())
    data = io.BytesIO()
    photo.save(data, "PNG")
    page = ALIGN % base64.b64encode(data.getvalue()).decode()
    (site / "align.html").write_text(PAGE.format(body="", script=page), encoding="utf-8")
    found = sound(visit((site / "align.html").as_uri(), browser=browser))
    x, y, size, roll = level_frame(photo, find_faces(photo)[0])
    assert found["count"] == 1
    assert found["frame"]["size"] == pytest.approx(size, rel=0.02)
    assert math.hypot(found["frame"]["x"] - x, found["frame"]["y"] - y) < 0.02 * size
    assert math.degrees(found["frame"]["roll"]) == pytest.approx(roll, abs=1)
    there = from_pil(align_face(photo, 64))
    assert (bytes_of(found["image"]) - bytes_of(there.flatten())).abs().mean() < 6
