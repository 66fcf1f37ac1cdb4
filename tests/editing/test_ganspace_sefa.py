import io
import pickle
import zipfile

import numpy as np
import pytest
import torch

from ganinv import GanInvError
from ganinv.editing import PCA, sefa


@pytest.fixture
def gan(make_bundle):
    return make_bundle(0)


def test_the_main_axis_of_w_is_found(gan, unit, angle):
    """A mapping network that stretches W along a known axis."""
    axis = unit(5)
    gan.w_cov = 0.1 * torch.eye(16) + 4 * torch.outer(axis, axis)
    pca = PCA.of(gan, 3)
    assert angle(pca.components[0] * (pca.components[0] @ axis).sign(), axis) < 0.1
    torch.testing.assert_close(pca.std, torch.tensor([4.1, 0.1, 0.1]).sqrt(), atol=1e-4, rtol=0)
    assert len(pca) == 3
    assert PCA.of(gan).components.shape == (16, 16)


def test_components_are_those_of_samples(tiny_bundle, codes, angle):
    _, _, v = torch.pca_lowrank(codes, q=2, niter=10)
    first = PCA.of(tiny_bundle).components[0]
    assert angle(first * (first @ v[:, 0]).sign(), v[:, 0]) < 5


def test_a_component_moves_or_sets(gan, ws):
    pca = PCA.of(gan)
    direction = pca.direction(1, range(2, 5), "pose")
    assert (direction.layers, direction.space, direction.name) == ((2, 3, 4), "w+", "pose")
    moved = direction.at(2).codes(ws, gan.G.synthesis.styles)[0]
    torch.testing.assert_close(moved[:, 2:5], ws[:, 2:5] + 2 * pca.std[1] * pca.components[1])
    assert torch.equal(moved[:, :2], ws[:, :2])
    # as in the encoders' repositories: the coordinate of the first row is set to s, and all layers move by as much
    coordinate = (ws[:, 0] - pca.mean) @ pca.components[1] / pca.std[1]
    delta = (5 - coordinate)[:, None] * pca.components[1] * pca.std[1]
    set_to = direction.to(5).codes(ws, gan.G.synthesis.styles)[0]
    torch.testing.assert_close(set_to[:, 2:5], ws[:, 2:5] + delta[:, None], atol=1e-4, rtol=1e-4)
    with pytest.raises(GanInvError, match="no component 16: there are 16"):
        pca.direction(16)


@pytest.fixture
def parts():
    random = torch.Generator().manual_seed(3)
    components = torch.linalg.qr(torch.randn(16, 16, generator=random))[0][:4]
    return {
        "mean": torch.randn(1, 16, generator=random),
        "comp": components[:, None],
        "std": torch.tensor([4.0, 3, 2, 1]),
    }


def test_public_files_are_read(parts, tmp_path):
    torch.save(parts, tmp_path / "ffhq_pca.pt")
    arrays = {f"lat_{name}": parts[key].numpy() for name, key in (("mean", "mean"), ("comp", "comp"), ("stdev", "std"))}
    np.savez_compressed(tmp_path / "stylegan2.npz", **arrays, act_comp=np.zeros((2, 3)))
    for name in ("ffhq_pca.pt", "stylegan2.npz"):
        pca = PCA.load(tmp_path / name)
        assert torch.equal(pca.mean, parts["mean"][0])
        assert torch.equal(pca.components, parts["comp"][:, 0])
        assert torch.equal(pca.std, parts["std"])


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch executed",)


def hostile(folder, parts):
    torch.save(parts | {"mean": Evil()}, folder / "evil.pt")
    (folder / "pickled.pt").write_bytes(pickle.dumps(Evil()))
    np.savez(
        folder / "objects.npz", lat_mean=np.array([Evil()], dtype=object), lat_comp=np.zeros(1), lat_stdev=np.zeros(1)
    )
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("lat_mean", "lat_comp", "lat_stdev"):
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**25,)})
            archive.writestr(f"{name}.npy", header.getvalue() + bytes(2**27))
    torch.save(parts | {"std": torch.ones(3)}, folder / "lengths.pt")
    torch.save(parts | {"comp": torch.full((4, 16), torch.nan)}, folder / "nan.pt")
    torch.save({"comp": parts["comp"]}, folder / "missing.pt")
    torch.save([1, 2], folder / "list.pt")
    (folder / "text.npz").write_text("no zip", encoding="utf-8")
    (folder / "empty.pt").touch()


def test_hostile_files_are_refused(parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hostile(tmp_path, parts)
    files = sorted(path for path in tmp_path.iterdir())
    assert len(files) == 10
    for path in [*files, tmp_path / "nowhere.pt"]:
        with pytest.raises(GanInvError, match=path.name):
            PCA.load(path)
    assert not (tmp_path / "executed").exists()


def test_what_a_layer_amplifies_is_found(gan, unit, angle):
    """Modulation weights that look along one axis of W."""
    axis = unit(6)
    with torch.no_grad():
        for name in ("b8.conv0", "b8.conv1"):
            weight = gan.G.synthesis.layer(name).affine.weight
            weight.copy_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
            weight += torch.linspace(1, 2, len(weight))[:, None] * axis
    rows = [gan.G.synthesis.layer_ws[name] for name in ("b8.conv0", "b8.conv1")]
    first, second = sefa(gan, rows, 2)
    assert min(angle(first.step, axis), angle(first.step, -axis)) < 5
    assert first.layers == tuple(rows)
    assert abs((first.step @ second.step).item()) < 1e-4 * first.length * second.length
    assert first.facts["found_from"]["eigenvalue"] > second.facts["found_from"]["eigenvalue"]
    assert first.length == pytest.approx(
        (first.step / first.length @ gan.w_cov @ first.step / first.length).sqrt().item(), rel=1e-4
    )


def test_sefa_by_the_authors_code(tiny_bundle):
    """Theirs in NumPy: columns of the stacked, transposed weights divided by their norms, eigenvectors of the product."""
    synthesis = tiny_bundle.G.synthesis
    weight = np.concatenate(
        [synthesis.layer(name).affine.weight.detach().T.numpy() for name in synthesis.conv_names], axis=1
    )
    weight = weight / np.linalg.norm(weight, axis=0, keepdims=True)
    values, vectors = np.linalg.eigh(weight @ weight.T)
    found = sefa(tiny_bundle, count=3)
    assert [each.facts["found_from"]["eigenvalue"] for each in found] == pytest.approx(
        values[::-1][:3].tolist(), rel=1e-4
    )
    for i, each in enumerate(found):
        assert abs(each.step.numpy() @ vectors[:, -1 - i]) == pytest.approx(each.length, rel=1e-3)
