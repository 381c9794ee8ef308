"""Run the Review section: its controls steer what the views show; with the table of figures and the report."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import qt

from SpatialRegularizationLib.report.verdicts import Figure, judgment_of

from ..inputs.files import label_names
from ..inputs.request import RegistrationRequest
from ..inputs.steps import decimals_of, step_of
from ..run.events import Outcome, Shown
from .controls import ReviewControls
from .review import Review
from .table import rows_of
from .view import Compare, Overlay, Result, View

BLINK_MS = 600
"""One image stays this long in the blink mode."""


class ReviewSection:
    """Fills an empty widget that has a vertical layout.

    Args:
        frame: the widget; the controls become its children.
        save: writes the report of the last finished run to a path; a ValueError or OSError of one sentence where it cannot.
    """

    def __init__(self, frame: Any, save: Callable[[str], None]) -> None:
        self._save_report = save
        self._review: Review | None = None
        self._report = ""
        self._quiet = False
        self._left = False
        self._error = ""
        self._shown_overlay = Overlay.NONE
        self._frame = frame
        self._controls = ReviewControls(frame)
        self._timer = qt.QTimer()
        self._timer.interval = BLINK_MS
        self._connect()
        self._update_enabled()

    def set_scene(self, scene: Any) -> None:
        """Look at another scene; None for none."""
        self.clear()
        self._review = None if scene is None else Review(scene)
        self._watch()

    def show(self, shown: Shown) -> None:
        """Look at a finished run or at the answer to a live update."""
        if self._review is None:
            return
        request, finished = shown.request, isinstance(shown, Outcome)
        self._report = shown.report if finished else ""
        figures = {"seconds": shown.seconds, "device": shown.device, **shown.figures}
        names = _names(request) if finished else {}
        self._fill(rows_of(figures, shown.settings["similarity"], min(request.fixed.GetSpacing()), names))
        self._controls.show_verdict(judgment_of(figures))
        with self._sentences():
            self._review.show(Result.of(shown.outputs, request), self.view())
        self._after()

    def clear(self) -> None:
        """Forget what is shown."""
        if self._review is not None:
            self._review.clear()
        self._report = ""
        self._timer.stop()
        self._fill([])
        self._controls.show_verdict(None)
        self._update_enabled()

    def enter(self) -> None:
        """The module is shown again."""
        self._left = False
        self._watch()
        self._keep_time()

    def exit(self) -> None:
        """Another module is shown: nothing blinks behind the user's back, and views are linked as they were."""
        self._left = True
        self._watch()
        self._timer.stop()

    def cleanup(self) -> None:
        """The widget goes, or has gone: no control is touched any more; a second time nothing happens."""
        self._timer.stop()
        review, self._review = self._review, None
        if review is not None:
            review.clear()

    def _watch(self) -> None:
        if self._review is not None:
            self._review.watch(not self._left)

    def save_report(self, path: str) -> None:
        """Write the report of the run that is shown to a file, ".html" where the name has no ending.

        Raises:
            ValueError, OSError: there is none, or it cannot be written; one sentence.
        """
        target = Path(path) if Path(path).suffix else Path(path).with_suffix(".html")
        self._save_report(str(target))
        self._controls.status.text = f"Saved: {target}"

    def view(self) -> View:
        """What the controls ask for."""
        overlay = self._overlay()
        return View(
            overlay=overlay,
            opacity=self._controls.opacity.value,
            threshold=self._threshold_of(overlay),
            compare=self._compare(),
            fade=self._controls.fade.value,
            tiles=round(self._controls.tiles.value),
            **{name: box.checked for name, box in self._controls.boxes.items()},
        )

    def _overlay(self) -> Overlay:
        return list(Overlay)[self._controls.overlay.currentIndex]

    def _compare(self) -> Compare:
        return list(Compare)[self._controls.compare.currentIndex]

    def _connect(self) -> None:
        self._controls.overlay.connect("currentIndexChanged(int)", self._apply)
        self._controls.compare.connect("currentIndexChanged(int)", self._apply)
        for slider in (self._controls.opacity, self._controls.fade, self._controls.tiles):
            slider.connect("valueChanged(double)", self._apply)
        self._controls.threshold.connect("valuesChanged(double,double)", self._apply)
        for box in self._controls.boxes.values():
            box.connect("toggled(bool)", self._apply)
        self._controls.jump.connect("clicked()", self._on_jump)
        self._controls.save.connect("clicked()", self._on_save)
        self._timer.connect("timeout()", self._on_beat)

    def _apply(self, *_values: Any) -> None:
        """Show what the controls ask for, and say what cannot be shown."""
        if self._quiet or self._review is None:
            return
        with self._sentences():
            self._review.apply(self.view())
        self._after()

    def _after(self) -> None:
        """The controls follow what is shown now."""
        overlay = self._overlay()
        self._show_range(overlay)
        missing = self._review.missing(overlay) if self._review.result is not None else ""
        self._controls.status.text = self._error or missing
        self._keep_time()
        self._update_enabled()

    def _threshold_of(self, overlay: Overlay) -> tuple[float, float] | None:
        """The chosen range, None where it is the whole scale or belongs to the overlay before."""
        if self._review is None or self._review.scale is None or overlay is not self._shown_overlay or self._whole():
            return None
        return self._controls.threshold.minimumValue, self._controls.threshold.maximumValue

    def _whole(self) -> bool:
        """Whether the range takes in all of its scale."""
        control = self._controls.threshold
        return control.minimumValue <= control.minimum and control.maximumValue >= control.maximum

    def _show_range(self, overlay: Overlay) -> None:
        """The scale of the overlay in the control; a new overlay starts with all of it."""
        scale, control = self._review.scale, self._controls.threshold
        whole = self._whole() or overlay is not self._shown_overlay
        self._shown_overlay = overlay
        if scale is None:
            return
        chosen = (scale.low, scale.high) if whole else (control.minimumValue, control.maximumValue)
        with self._silence():
            step = step_of(scale.low, scale.high)
            control.decimals = decimals_of(step, scale.low, scale.high)
            control.setRange(scale.low, scale.high)
            control.singleStep = step
            control.setValues(*chosen)

    def _fill(self, rows: list[Figure]) -> None:
        self._controls.table.setRowCount(len(rows))
        for line, row in enumerate(rows):
            for column, text in enumerate((row.name, row.before, row.after)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(row.help)
                self._controls.table.setItem(line, column, item)
        self._controls.table.resizeColumnsToContents()

    def _update_enabled(self) -> None:
        result = self._review.result if self._review is not None else None
        overlay, compare = self._overlay(), self._compare()
        scaled = result is not None and self._review.scale is not None
        for control in (self._controls.opacity, self._controls.threshold):
            control.enabled = scaled
        self._controls.fade.enabled = result is not None and compare is Compare.FADE
        self._controls.tiles.enabled = compare is Compare.CHECKERBOARD
        for control in (self._controls.overlay, self._controls.compare, *self._controls.boxes.values()):
            control.enabled = result is not None
        self._controls.boxes["mark_folds"].enabled = result is not None and overlay is not Overlay.FOLDS
        self._controls.jump.enabled = result is not None and result.jacobian is not None
        self._controls.save.enabled = bool(self._report)

    def _keep_time(self) -> None:
        blinking = self._review is not None and self._review.result is not None and not self._left
        if blinking and self._compare() is Compare.BLINK:
            self._timer.start()
        else:
            self._timer.stop()

    def _on_beat(self) -> None:
        if self._review is not None:
            self._review.blink()

    def _on_jump(self) -> None:
        with self._sentences():
            found = self._review.jump_to_worst_fold()
            words = "The views are at the worst fold." if found else "There is no fold: every Jacobian is above 0."
            self._controls.status.text = words

    def _on_save(self) -> None:
        path = qt.QFileDialog.getSaveFileName(self._frame, "Save report", "registration.html", "HTML (*.html)")
        path = path[0] if isinstance(path, tuple) else path  # PySide6 returns the filter, too
        if path:
            with self._sentences():
                self.save_report(path)

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        """What goes wrong while looking is a sentence in the section, the rest in the log."""
        self._error = ""
        try:
            yield
        except (ValueError, OSError) as error:
            logging.info("Review", exc_info=True)
            self._error = str(error)
            self._controls.status.text = self._error

    @contextlib.contextmanager
    def _silence(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before


def _names(request: RegistrationRequest) -> dict[int, str]:
    """Names of the labels, {} where the segments no longer fit each other."""
    try:
        return label_names(request)
    except ValueError:
        return {}
