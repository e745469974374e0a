"""The images install what the tests ran with."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ACCELERATOR = ("jax-cuda12-", "nvidia-")


def pins(name: str) -> dict[str, set[str]]:
    """Hashes by `name==version` of a lock file."""
    found: dict[str, set[str]] = {}
    current = ""
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            current = line.split(" ")[0].split("[")[0]
            if "[" in line:
                current = f"{current}=={line.split('==')[1].split(' ')[0]}"
            found[current] = set()
        elif "--hash=" in line:
            found[current].add(line.strip().removesuffix(" \\"))
    return found


@pytest.mark.parametrize("name", ["docker/requirements.lock", "docker/requirements-gpu.lock"])
def test_image_lock_is_part_of_the_lock_of_the_checkout(name: str) -> None:
    tested, image = pins("requirements.lock"), pins(name)
    assert len(image) > 40
    for pin, hashes in image.items():
        if not pin.startswith(ACCELERATOR):
            assert pin in tested, f"run `make lock`: {pin} is not in requirements.lock"
            assert hashes <= tested[pin]


def test_every_pin_of_an_image_has_a_hash() -> None:
    for name in ("docker/requirements.lock", "docker/requirements-gpu.lock"):
        assert [pin for pin, hashes in pins(name).items() if not hashes] == []


def test_accelerator_plugin_has_the_version_of_jax() -> None:
    gpu = pins("docker/requirements-gpu.lock")
    version = next(pin.split("==")[1] for pin in gpu if pin.startswith("jax=="))
    plugins = [pin for pin in gpu if pin.startswith("jax-cuda12-")]
    assert plugins
    assert all(pin.endswith(f"=={version}") for pin in plugins)


def test_image_has_no_tools_of_development() -> None:
    for name in ("docker/requirements.lock", "docker/requirements-gpu.lock"):
        names = {pin.split("==")[0] for pin in pins(name)}
        assert not names & {"pytest", "mypy", "ruff", "hypothesis", "matplotlib"}
