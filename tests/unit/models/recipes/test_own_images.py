"""A folder of images that nobody here has seen: read, split by name, trained, certified."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from andon.core.errors import Code, InvalidInput
from models.__main__ import main
from models.commands import open_package
from models.data.images import read_images
from models.pictures import image_window, shares
from models.recipes.own_images import nudge, split
from models.recipes.vision import levels

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for name in ("stripe", "plain"):
        (root / name).mkdir()
        for number in range(16):
            pixels = random.integers(90, 110, (20, 24))
            if name == "stripe":
                pixels[:, ::4] += 100
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number:03d}.png")
    return root


def test_images_are_grey_squares_in_order_of_their_path(folder: Path) -> None:
    images = read_images(folder, 16)
    assert images.pixels.shape == (32, 16, 16, 1)
    colour = read_images(folder, 16, is_colour=True).pixels
    assert (colour == images.pixels).all()  # these have none
    assert colour.shape == (32, 16, 16, 3)
    assert images.classes == ("plain", "stripe")
    assert images.labels.tolist() == [0] * 16 + [1] * 16
    assert images.names[:2] == ("000.png", "001.png")
    assert images.sha256 == read_images(folder, 16).sha256


def test_the_last_quarter_of_each_class_is_held_out(folder: Path) -> None:
    images = read_images(folder, 16)
    is_test, _ = split(images)
    held = [name for name, test in zip(images.names, is_test, strict=True) if test]
    assert held == ["012.png", "013.png", "014.png", "015.png"] * 2


def test_a_folder_that_is_split_keeps_its_split(folder: Path, tmp_path: Path) -> None:
    for part, numbers in (("train", range(12)), ("test", range(12, 14))):
        for name in ("stripe", "plain"):
            below = tmp_path / part / name
            below.mkdir(parents=True)
            for number in numbers:
                source = folder / name / f"{number:03d}.png"
                (below / source.name).write_bytes(source.read_bytes())
    is_test, convention = split(read_images(tmp_path, 16))
    assert is_test.sum() == 4
    assert "train and test" in convention


def test_what_is_wrong_with_a_folder_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="0 folders"):
        read_images(tmp_path, 16)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(b"not an image")
    with pytest.raises(InvalidInput, match=r"x\.png is not an image") as caught:
        read_images(tmp_path, 16)
    assert caught.value.code is Code.BAD_DATASET
    for name in ("a", "b"):
        (tmp_path / name / "x.png").write_bytes((folder / "plain" / "000.png").read_bytes())
    with pytest.raises(InvalidInput, match="has 1 images"):
        split(read_images(tmp_path, 16))


def test_patterns_tell_classes_without_a_network(folder: Path, tmp_path: Path) -> None:
    arguments = ["train", "--images", str(folder), "--out", str(tmp_path)]
    assert main([*arguments, "--model", "texture", "--size", "16"]) == 2
    assert main([*arguments, "--size", "32"]) == 0
    package = open_package(tmp_path)
    assert package.manifest.outputs == 2
    assert "- accuracy: 1\n" in package.card
    assert dict(package.manifest.training)["model"] == "texture"  # there are few
    image, out = folder / "stripe" / "015.png", tmp_path / "w"
    assert main(["window", str(tmp_path), str(image), "--out", str(out)]) == 0
    row = read_images(folder, 32).names.index("015.png", 16)
    assert out.read_bytes() == levels(read_images(folder, 32).pixels)[row].tobytes()
    window = image_window(package, image)
    assert shares(package, window)[0][0] == "stripe"


def test_a_window_of_no_image_or_for_another_package_is_refused(tmp_path: Path) -> None:
    turbofan = ROOT / "models" / "packages" / "rul-demo"
    with pytest.raises(InvalidInput, match="not images") as caught:
        image_window(open_package(turbofan), tmp_path / "x.png")
    assert caught.value.code is Code.BAD_MODEL_INPUT
    assert main(["window", str(turbofan), str(tmp_path / "x.png"), "--out", "w"]) == 2


def test_nudging_keeps_the_shape_and_differs_by_key() -> None:
    images = jax.numpy.asarray(np.random.default_rng(0).normal(size=(4, 16, 16, 1)))
    one, two = (nudge(jax.random.key(seed), images) for seed in (0, 1))
    assert one.shape == images.shape
    assert not np.allclose(one, two)


def test_a_network_is_trained_certified_and_reported(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--images", str(folder), "--size", "16", "--epochs", "30", "--colour"]
    assert main([*arguments, "--model", "texture", "--out", str(tmp_path)]) == 2
    assert "grey levels" in capsys.readouterr().err
    assert main([*arguments, "--name", "stripes", "--out", str(tmp_path)]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert "<th>stripe</th>" in (tmp_path / "report.html").read_text("utf-8")
    package = open_package(tmp_path)
    assert package.manifest.outputs == 2
    assert package.manifest.input_shape == (16, 16, 3)
    assert package.quantiser.channels == ("red", "green", "blue")
    image = folder / "stripe" / "015.png"
    row = read_images(folder, 16).names.index("015.png", 16)
    seen = levels(read_images(folder, 16, is_colour=True).pixels)[row]
    np.testing.assert_array_equal(image_window(package, image), seen)
    assert dict(package.manifest.training)["classes"] == "plain,stripe"
