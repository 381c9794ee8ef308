"""Make the controls of the Review section; they belong together and to no parameter of the scene."""

from __future__ import annotations

from typing import Any

import ctk
import qt

from SpatialRegularizationLib.report.verdicts import Judgment

from .view import Compare, Overlay

COLORS = {"good": "#1f7a4d", "caution": "#9a6700", "bad": "#b3261e"}
"""Of the line beside a verdict, as in the report."""
VERDICT_STYLE = "QLabel {{ border-left: 4px solid {}; padding-left: 6px; }}"
HEADINGS = ("Figure", "Before", "After")
BOXES = {
    "legend": ("Color legend", "Show a color scale with its unit beside the overlay.", True),
    "mark_folds": ("Mark folds", "Mark voxels with a Jacobian determinant of 0 or less in red, under every overlay.", True),
    "grid_slices": ("Grid in slices", "Draw the deformation as a bent grid in the slice views.", False),
    "grid_views": ("Grid in 3-D", "Draw the deformation as a bent grid in the 3-D views.", False),
    "linked": ("Link views", "Let all slice views follow one another.", True),
}
"""Field of `View` → text, tool tip, whether it is checked at first."""


OVERLAY_TIP = (
    "What lies over the images. Volume change is the logarithm of J, volume of the moving image per volume of the fixed one: "
    "above 0 (brown) the moving tissue shrinks, below 0 (blue) it grows."
)


class ReviewControls:
    """All widgets of the section, laid out in an empty widget that has a vertical layout.

    Args:
        frame: the widget.
    """

    def __init__(self, frame: Any) -> None:
        self.overlay = _named(qt.QComboBox(), "reviewOverlayCombo", OVERLAY_TIP)
        self.overlay.addItems([choice.value for choice in Overlay])
        self.opacity = _slider("reviewOpacitySlider", 0.6, "Opacity of the overlay, 0 to 1.")
        tip = "Only values of the overlay in this range are shown, in the unit of the color legend."
        self.threshold = _named(ctk.ctkRangeWidget(), "reviewThresholdRange", tip)
        self.compare = _named(qt.QComboBox(), "reviewCompareCombo", "How fixed and warped image are compared.")
        self.compare.addItems([choice.value for choice in Compare])
        self.fade = _slider("reviewFadeSlider", 0.5, "0 shows the fixed image, 1 the warped image.")
        self.tiles = _slider("reviewTilesSlider", 8, "Tiles of the checkerboard along the longest edge, 2 to 30.", (2, 30, 1, 0))
        self.boxes = {}
        for name, (text, tip, checked) in BOXES.items():
            box = self.boxes[name] = _named(qt.QCheckBox(text), f"review{name.title().replace('_', '')}Check", tip)
            box.checked = checked
        tip = "Move all slice views to the smallest Jacobian determinant."
        self.jump = _named(qt.QPushButton("Jump to worst fold"), "reviewJumpButton", tip)
        tip = "Save the report of this registration as one HTML file."
        self.save = _named(qt.QPushButton("Save report…"), "reviewSaveButton", tip)
        self.status = _named(qt.QLabel(""), "reviewStatusLabel", "")
        self.status.wordWrap = True
        tip = "What the images and figures say of this registration: good, look here or failed, and why."
        self.verdict = _named(qt.QLabel(""), "reviewVerdictLabel", tip)
        self.verdict.wordWrap = True
        self.verdict.textFormat = qt.Qt.PlainText
        self.verdict.visible = False
        tip = "Figures of the registration that is shown; rest on a line for what it means."
        self.table = _named(qt.QTableWidget(), "reviewFiguresTable", tip)
        self.table.setColumnCount(len(HEADINGS))
        self.table.setHorizontalHeaderLabels(list(HEADINGS))
        self.table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        self._arrange(frame)

    def show_verdict(self, judgment: Judgment | None) -> None:
        """Word, color and reasons; nothing where there is none."""
        self.verdict.visible = judgment is not None
        self.verdict.text = "" if judgment is None else "\n".join([judgment.word, *(f"• {r}" for r in judgment.reasons)])
        self.verdict.styleSheet = "" if judgment is None else VERDICT_STYLE.format(COLORS[judgment.level])

    def _arrange(self, frame: Any) -> None:
        frame.layout().addWidget(self.verdict)
        form = qt.QFormLayout()
        for text, control in (
            ("Overlay:", self.overlay),
            ("Opacity:", self.opacity),
            ("Threshold:", self.threshold),
            ("Compare:", self.compare),
            ("Fade:", self.fade),
            ("Tiles:", self.tiles),
        ):
            form.addRow(text, control)
        frame.layout().addLayout(form)
        for names in (("legend", "mark_folds", "linked"), ("grid_slices", "grid_views")):
            row = qt.QHBoxLayout()
            for name in names:
                row.addWidget(self.boxes[name])
            frame.layout().addLayout(row)
        for control in (self.status, self.table):
            frame.layout().addWidget(control)
        row = qt.QHBoxLayout()
        row.addWidget(self.jump)
        row.addWidget(self.save)
        frame.layout().addLayout(row)


def _named(editor: Any, name: str, tip: str) -> Any:
    editor.objectName, editor.toolTip = name, tip
    return editor


def _slider(name: str, value: float, tip: str, scale: tuple[float, float, float, int] = (0, 1, 0.01, 2)) -> Any:
    slider = _named(ctk.ctkSliderWidget(), name, tip)
    slider.decimals = scale[3]
    slider.minimum, slider.maximum, slider.singleStep = scale[:3]
    slider.value = value
    return slider
