"""The page itself, in Gradio."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import gradio as gr

from ugatit_jax.console.errors import InputError
from ugatit_jax.data import images
from ugatit_jax.viewing.visualize import DIRECTION_TITLES
from ugatit_jax.web.progress import read_progress
from ugatit_jax.web.studio import MOST, Shown, Studio, as_zip

WAITING = 100  # requests at once, in a queue; more are told to come back
KEPT = 600  # seconds that pictures of a visitor are kept
LARGEST_FILE = "40mb"
TRANSLATION, BACK = "translation", "translated back"
# Fonts of the system: others would be fetched.
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


class Page:
    """The page of a studio."""

    def __init__(self, studio: Studio) -> None:
        """Build it; `launch` shows it."""
        self._studio = studio
        with gr.Blocks(
            title=f"{studio.name} · ugatit_jax", analytics_enabled=False, delete_cache=(60, KEPT)
        ) as self.blocks:
            gr.Markdown(f"# {studio.name}")
            if studio.is_run:
                with gr.Tab("Pictures"):
                    self._translating()
                with gr.Tab("Training"):
                    self._training()
            else:
                self._translating()

    def launch(self, host: str, port: int) -> str:
        """Serve the page from other threads; returns its address.

        Raises `InputError` where the port is taken.
        """
        self.blocks.queue(max_size=WAITING, default_concurrency_limit=1)
        try:
            _, address, _ = self.blocks.launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                max_file_size=LARGEST_FILE,
                footer_links=[],
                ssr_mode=False,
                theme=THEME,
            )
        except OSError as error:
            raise InputError(
                f"cannot listen at {host}:{port} ({error}): say another --port"
            ) from None
        return str(address)

    def _translating(self) -> None:
        studio = self._studio
        state = gr.State([], time_to_live=KEPT)
        with gr.Row():
            with gr.Column():
                uploads = gr.Gallery(
                    label=f"Pictures: drop, paste, choose or take up to {MOST}",
                    type="filepath",
                    interactive=True,
                    columns=4,
                    object_fit="contain",
                    height=280,
                    sources=["upload", "webcam", "clipboard"],
                )
                direction = gr.Radio(
                    [(DIRECTION_TITLES[x], x) for x in studio.directions],
                    value=studio.directions[0],
                    label="Direction",
                )
                with gr.Row():
                    fit = gr.Dropdown(studio.fits, value="crop", label="Fit")
                    step = gr.Dropdown(
                        [(f"{x:,}", x) for x in studio.steps],
                        value=studio.step,
                        label="Step of the training",
                        interactive=studio.is_run,
                    )
                with gr.Row():
                    cycle = gr.Checkbox(label="Translate back, too")
                    judged = gr.Checkbox(
                        label="Ask the discriminators where they look", visible=studio.has_judges
                    )
                button = gr.Button("Translate", variant="primary")
                said = gr.Markdown()
            with gr.Column():
                results = gr.Gallery(
                    label="Translations",
                    columns=4,
                    object_fit="contain",
                    height=280,
                    interactive=False,
                    format="png",
                )
                what = gr.Radio([TRANSLATION], value=TRANSLATION, label="Beside the input")
                opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity of attention")
                slider = gr.ImageSlider(label="Before and after", interactive=False, format="png")
                zipped = gr.DownloadButton("Download all as a zip file", interactive=False)
        index = gr.State(0)
        button.click(
            self._translate,
            [uploads, direction, fit, cycle, judged, step],
            [state, results, what, slider, zipped, said, index],
            api_name="translate",
        )
        results.select(_chosen, None, index)
        for changed in (index, what, opacity):
            changed.change(_view, [state, index, what, opacity], slider, show_progress="hidden")
        self._examples(uploads, direction)

    def _examples(self, uploads: Any, direction: Any) -> None:
        examples = self._studio.examples()
        if not any(examples.values()):
            return
        first = examples[self._studio.directions[0]]
        shown = gr.Gallery(
            [(picture, None) for picture in first],
            label="Test pictures of the run: choose one",
            columns=6,
            height=160,
            interactive=False,
            allow_preview=False,
            format="png",
        )
        direction.change(lambda way: [(x, None) for x in examples.get(way, [])], direction, shown)

        def choose(way: str, event: gr.SelectData) -> Any:
            picture = examples[way][event.index]
            return [(picture, f"example_{event.index}.png")]

        shown.select(choose, direction, uploads)

    def _translate(
        self,
        uploads: Sequence[tuple[str, str | None]] | None,
        direction: str,
        fit: str,
        cycle: bool,
        judged: bool,
        step: int,
    ) -> tuple[Any, ...]:
        files = [Path(path) for path, _ in uploads or []]
        if cycle and not self._studio.can_go_back(direction):
            raise gr.Error("there is no way back from here: leave out translating back")
        try:
            done, said = self._studio.translate(
                [(file.name, file.read_bytes()) for file in files],
                direction,
                fit,
                cycle,
                judged,
                step,
            )
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None
        choices = [TRANSLATION, *([BACK] if cycle else []), *(done[0].maps if done else [])]
        return (
            done,
            [(_file(_png(one.name), images.encode(one.after, "png")), one.name) for one in done],
            gr.Radio(choices, value=TRANSLATION),
            _view(done, 0, TRANSLATION, 0.0),
            gr.DownloadButton(
                value=_file("translations.zip", as_zip(done)) if done else None,
                interactive=bool(done),
            ),
            "\n\n".join(f"⚠ {line}" for line in said),
            0,
        )

    def _training(self) -> None:
        text = gr.Markdown()
        with gr.Row():
            grid = gr.Image(label="Newest sample grid", interactive=False, format="png")
            kids = gr.Image(label="KID of the test pictures", interactive=False, format="png")
        curves = gr.LinePlot(x="step", y="value", color="term", title="Terms of the losses")

        def refresh() -> tuple[Any, ...]:
            import pandas as pd  # Gradio brings it

            now = read_progress(self._studio.model, self._studio.terms)
            frame = pd.DataFrame(now.curves, columns=["step", "value", "term"])
            return now.text, now.grid, now.kids, frame

        outputs = [text, grid, kids, curves]
        self.blocks.load(refresh, None, outputs, show_progress="hidden")
        gr.Timer(20).tick(refresh, None, outputs, show_progress="hidden")
        gr.Button("Refresh").click(refresh, None, outputs)


def _chosen(event: gr.SelectData) -> int:
    return int(event.index)


def _view(state: list[Shown], index: int, what: str, opacity: float) -> Any:
    if not state:
        return None
    one = state[min(index, len(state) - 1)]
    if what in one.maps:
        left, right = one.overlay(what, opacity)
    else:
        left, right = one.before, one.after
        right = one.cycle if what == BACK and one.cycle is not None else right
    pictures = {"before.png": left, "after.png": right}
    return tuple(_file(name, images.encode(x, "png")) for name, x in pictures.items())


def _png(name: str) -> str:
    return f"{PurePath(name).stem.strip('.') or 'picture'}.png"


def _file(name: str, content: bytes) -> str:
    """Write a file where Gradio takes files from; it is gone with the others.

    Of arrays, Gradio writes those that are alike to one file, while others may be reading it.
    """
    folder = Path(os.environ["GRADIO_TEMP_DIR"], secrets.token_hex(16))
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    return str(folder / name)
