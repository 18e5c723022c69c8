"""Make one HTML file that translates in a browser, by a model's ONNX files and ONNX's runtime.

    npm pack onnxruntime-web@1.30 && tar xzf onnxruntime-web-*.tgz
    python docs/browser/build.py --runtime package --out translate.html

It needs no server and no network: open it from the disk, or put it anywhere.
"""

import argparse
import base64
import gzip
import json
import tempfile
from pathlib import Path
from string import Template

from ugatit_jax.console.errors import InputError, exit_on_input_error
from ugatit_jax.inference.onnx_export import export_onnx
from ugatit_jax.runs.trained import model_argument

RUNTIME = {"runtime": "ort.wasm.bundle.min.mjs", "wasm": "ort-wasm-simd-threaded.wasm"}


@exit_on_input_error
def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=model_argument, default="emoji", help="default: emoji")
    parser.add_argument("--runtime", type=Path, required=True, help="the unpacked npm package")
    parser.add_argument("--out", type=Path, required=True, help="the page")
    args = parser.parse_args()
    files = {name: args.runtime / "dist" / file for name, file in RUNTIME.items()}
    if missing := [file for file in files.values() if not file.is_file()]:
        raise InputError(
            f"no {missing[0]}: --runtime is the folder that npm pack's file unpacks to"
        )
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(args.model, Path(folder), dtype="float16")
        files |= {way: Path(folder, f"{way}.onnx") for way in ("a2b", "b2a")}
        packed = {name: _pack(file) for name, file in files.items()}
    template = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    args.out.write_text(template.substitute(files=json.dumps(packed)), encoding="utf-8")
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


def _pack(file: Path) -> str:
    return base64.b64encode(gzip.compress(file.read_bytes(), mtime=0)).decode("ascii")


if __name__ == "__main__":
    main()
