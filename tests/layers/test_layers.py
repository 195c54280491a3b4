"""What goes to Lambda: its size, its processor, and that it needs nothing from this computer."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEGABYTE = 1_000_000
WHEEL_LAYERS = ("ingest", "inference", "observability")
# Function: its layers made of wheels, its plain layers, most megabytes unzipped.
FUNCTIONS = {
    "featurize": (("ingest", "observability"), ("core",), 200),
    "score": (("inference", "observability"), ("core", "model"), 100),
    "notify": (("observability",), ("core",), 30),
}
# The packages that Lambda's runtime itself brings.
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3")
ELF_MACHINE_AT = 18
X86_64, AARCH64 = 62, 183


def build(layer: str, folder: Path, *arguments: str) -> Path:
    """Build one layer as `sam build` does: in a scratch copy of its folder."""
    scratch = folder / "scratch" / layer
    shutil.copytree(ROOT / "layers" / layer, scratch)
    artifacts = folder / layer
    artifacts.mkdir()
    target = f"build-{layer.title()}Layer"
    command = ["make", "--silent", "-C", str(scratch), target]
    command += [f"ARTIFACTS_DIR={artifacts}", f"PYTHON={sys.executable}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return artifacts


@pytest.fixture(scope="module")
def lambda_layers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("lambda")
    return {layer: build(layer, folder) for layer in WHEEL_LAYERS}


@pytest.fixture(scope="module")
def host_layers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("host")
    # Compiled with the host's own interpreter, as Lambda's are with theirs.
    compiled = f"LAMBDA_PYTHON={sys.executable}"
    return {layer: build(layer, folder, "TARGET=", compiled) for layer in WHEEL_LAYERS}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands for Lambda's own packages."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in RUNTIME:
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            top = file.parts[0]
            source, link = Path(str(distribution.locate_file(top))), folder / top
            if top not in {"..", "__pycache__"} and source.exists() and not link.exists():
                link.symlink_to(source)
    return folder


def size(folder: Path) -> int:
    files = (f for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    return sum(file.stat().st_size for file in files)


def compiled_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.pyc"))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_with_its_layers_stays_small(
    lambda_layers: dict[str, Path], host_layers: dict[str, Path], function: str
) -> None:
    wheels, plain, most = FUNCTIONS[function]
    total = size(ROOT / "functions" / function)
    total += sum(size(lambda_layers[layer]) for layer in wheels)
    # .pyc files are there only where the host has Lambda's Python: the host's own stand for them.
    total += sum(compiled_size(host_layers[layer]) for layer in wheels)
    total += sum(size(ROOT / "layers" / layer) for layer in plain)
    assert total < most * MEGABYTE


@pytest.mark.parametrize("layer", WHEEL_LAYERS)
def test_libraries_are_for_the_processor_asked_for(
    lambda_layers: dict[str, Path], layer: str
) -> None:
    for library in lambda_layers[layer].rglob("*.so*"):
        with library.open("rb") as opened:
            header = opened.read(ELF_MACHINE_AT + 2)
        assert int.from_bytes(header[ELF_MACHINE_AT:], "little") == X86_64, library.name
        assert "cpython" not in library.name or "cpython-313-" in library.name, library.name


def test_another_processor_gives_other_libraries(tmp_path: Path) -> None:
    built = build("observability", tmp_path, "ARCH=aarch64")
    assert (built / "python/aws_lambda_powertools").is_dir()
    libraries = list(built.rglob("*.so*"))
    machines = {int.from_bytes(f.read_bytes()[ELF_MACHINE_AT:][:2], "little") for f in libraries}
    assert machines <= {AARCH64}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_imports_from_its_layers_only(
    host_layers: dict[str, Path], runtime: Path, function: str
) -> None:
    # GIVEN
    wheels, plain, _ = FUNCTIONS[function]
    path = [ROOT / "functions" / function]
    path += [ROOT / "layers" / layer / "python" for layer in plain]
    path += [host_layers[layer] / "python" for layer in wheels]
    path += [runtime]
    # WHEN: -I -S hides this environment, so that what is missing on Lambda is missing here
    program = f"import sys; sys.path[:0] = {[str(p) for p in path]!r}; import app; app.handler"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False
    )
    # THEN
    assert done.returncode == 0, done.stderr
