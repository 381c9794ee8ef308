"""What the panel costs: opening it, a move of a slider, and a registration beyond what the library takes.

    python scripts/benchmarks/panel.py                                     slider at the size of a hippocampus
    python scripts/benchmarks/panel.py --shape 160 192 224 --only apply --name panel_large

The panel is the real one on slicer-core, its widgets those of the Qt layer of the tests, offscreen; the worker is a process of
its own. Rows: opening (processor time of import and construction); a slider step from the move to the nodes (median, and the
longest time in which the event loop did nothing else); Apply, from the click to the nodes, with and without what the registration
itself took.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "SpatialRegularization"))
sys.path.insert(2, str(Path(__file__).resolve().parents[2] / "Testing" / "module"))

import qt_layer
import slicer_module
from harness import write_results
from slicer_scene import fresh_scene

SHIPPED, RANDOM = "hippocampus-t1-hyper", "panel-benchmark"
MOVES = 15
LONGEST = 600.0


def opened() -> tuple[Any, float]:
    """(the module's widget, processor seconds that it took to come)."""
    start = time.process_time()
    from SpatialRegularization import SpatialRegularizationWidget

    widget = SpatialRegularizationWidget()
    seconds = time.process_time() - start
    widget.enter()
    return widget, seconds


def prepared(widget: Any, shape: tuple[int, ...], size: str | None, zoo: Path) -> None:
    """A pair of volumes is chosen; with a size, a random model of it is there, too."""
    import torch
    from slider import pair

    from SpatialRegularizationLib.models.catalogue import build_model
    from SpatialRegularizationLib.zoo.card import ModelCard, save_model

    if size is not None:
        torch.manual_seed(0)
        model = build_model({"system": "hyper-tm-spr", "size": size, "image_shape": list(shape)})
        save_model(model, ModelCard(RANDOM, shape, (1.0, 1.0, 1.0), "LPS", "none"), zoo / f"{RANDOM}.safetensors")
    import slicer

    ui = widget.panel.ui
    for name, volume, selector in zip(("fixed", "moving"), pair(shape), (ui.fixedSelector, ui.movingSelector), strict=True):
        values = volume.data[0].numpy().transpose(2, 1, 0)
        selector.setCurrentNode(slicer.util.addVolumeFromArray(values.copy(), name=name))
    widget.enter()
    parameters = widget.logic.getParameterNode()
    parameters.affine, parameters.intensity, parameters.globalSearch = "none", "none", "off"
    parameters.iterations = "2 2 2 2"


def slider(widget: Any, model: str) -> dict[str, float]:
    """Moves of λmax with the model, one after the other."""
    from PySide6.QtCore import QTimer

    ui, previews, gaps, last = widget.panel.ui, [], [], [time.perf_counter()]

    def tick() -> None:
        now = time.perf_counter()
        gaps.append(now - last[0])
        last[0] = now

    timer = QTimer()
    timer.timeout.connect(tick)
    widget.logic.previewed.connect(previews.append)
    ui.modelSelector.currentIndex = ui.modelSelector.findData(model)
    ui.updateLiveCheckBox.checked = True
    qt_layer.wait_until(lambda: previews, LONGEST, ui.errorLabel.text)
    timer.start(1)
    last[0] = time.perf_counter()
    seconds = []
    for n in range(MOVES):
        count, start = len(previews), time.perf_counter()
        ui.lambdaMaxSlider.value = 1.0 + 0.1 * n
        qt_layer.wait_until(lambda count=count: len(previews) > count, LONGEST)
        seconds.append(time.perf_counter() - start)
    timer.stop()
    ui.updateLiveCheckBox.checked = False
    return {
        "seconds_median": statistics.median(seconds), "seconds_longest": max(seconds), "blocked_longest": max(gaps),
        "computed_median": statistics.median(p.seconds for p in previews[-MOVES:]),
    }  # fmt: skip


def worker_start(widget: Any) -> float:
    """Seconds until the worker, which has started when nothing was missing any more, waits for a request."""
    start = time.perf_counter()
    qt_layer.wait_until(lambda: widget.logic.poll() or widget.logic.pid, LONGEST)
    return time.perf_counter() - start


def apply(widget: Any) -> dict[str, float]:
    """A click on Apply, per-pair mode."""
    ui, finished = widget.panel.ui, []
    widget.logic.finished.connect(finished.append)
    ui.modelSelector.currentIndex = 0
    start = time.perf_counter()
    ui.applyButton.click()
    qt_layer.wait_until(lambda: ui.applyButton.text == "Apply", LONGEST)
    widget.logic.finished.disconnect(finished.append)
    if not finished:
        raise RuntimeError(ui.errorLabel.text)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "registration_seconds": finished[0].seconds, "overhead_seconds": seconds - finished[0].seconds}


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(48, 64, 48))
    parser.add_argument("--size", choices=("small", "tiny"), help=f"of a random model, for other shapes; default: {SHIPPED}")
    parser.add_argument("--only", choices=("slider", "apply"))
    parser.add_argument("--name", default="panel")
    options = parser.parse_args()
    scene = fresh_scene()
    slicer_module.install(scene.slicer)
    with tempfile.TemporaryDirectory() as zoo:
        os.environ["SPATIALREG_ZOO"] = zoo
        widget, seconds = opened()
        rows = [{"method": "opening", "processor_seconds": seconds}]
        shape = tuple(options.shape)
        prepared(widget, shape, options.size, Path(zoo))
        rows.append({"method": "worker ready after the images were chosen", "seconds": worker_start(widget)})
        if options.only != "apply":
            model = SHIPPED if options.size is None else RANDOM
            rows.append({"method": "slider step", "shape": list(shape), "model": model, **slider(widget, model)})
        if options.only != "slider":
            rows += [{"method": f"apply, {what}", "shape": list(shape), **apply(widget)} for what in ("first", "again")]
        widget.cleanup()
    for row in rows:
        print(", ".join(f"{name} {value:.3f}" if isinstance(value, float) else f"{value}" for name, value in row.items()))
    write_results(options.name, rows)


if __name__ == "__main__":
    main()
