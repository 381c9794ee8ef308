"""Run the panel: bind its sections to the parameter node and to the logic; compute nothing.

    control ⇄ parameter node ─▶ request ─▶ logic.start / preview ─▶ signals ─▶ progress, results, failures
"""

from __future__ import annotations

import contextlib
from typing import Any

import qt
import slicer
import vtk

from .inputs.controls import SettingControls
from .inputs.model_section import ModelSection
from .inputs.panel_request import missing, preview_key, remember_outputs, request_of
from .inputs.regularization_section import RegularizationSection
from .logic import RegistrationLogic
from .parameters import PanelParameters, remember_asked
from .review.apply_section import ApplySection
from .review.review_section import ReviewSection
from .run.events import Failure, Outcome, Preview, RunState, Shown, Step
from .run.failures import failure_of_error, with_remedy
from .run.install import Readiness
from .run.outputs import restore_interpolation
from .run.run_section import RunSection, duration

POLL_MS = 20
"""How often the logic looks after a worker that no event tells about, while something is awaited."""


class Panel:
    """The controls of one form.

    Args:
        form: the widget of SpatialRegularization.ui.
        logic: runs what the panel asks for.
    """

    def __init__(self, form: Any, logic: RegistrationLogic) -> None:
        self.controls, self.logic = SettingControls(form), logic
        self.ui, self._form = slicer.util.childWidgetVariables(form), form
        self.parameters: PanelParameters | None = None
        self._tag: int | None = None
        self._gui: int | None = None
        self._chosen: tuple[str, str] = ("", "")
        self._preview_key: tuple[Any, ...] | None = None
        self._prepared: str | None = None
        self._showing = self._previewing = self._installed = self._entered = self._closed = False
        self.model = ModelSection(self.ui, self._manage, self._changed)
        self.regularization = RegularizationSection(self.ui, self.controls)
        self.run = RunSection(self.ui, self.apply, self._remedy)
        self.apply_to = ApplySection(self.ui)
        self.review = ReviewSection(self.ui.reviewFrame, logic.save_report)
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._poll)
        ui = self.ui
        ui.resetButton.connect("clicked()", lambda: self.regularization.reset(self.parameters, self._card()))
        ui.refineButton.connect("clicked()", self._refine)
        ui.undoButton.connect("clicked()", self._undo)
        self._wire(connect=True)

    def attach(self, parameters: PanelParameters | None) -> None:
        """Show and change these parameters from now on; None: none.

        Args:
            parameters: read from the scene just now; Slicer's wrapper keeps values, and misses nodes that come later.
        """
        self._detach()
        self.parameters, self._preview_key = parameters, None
        if parameters is not None:
            self._chosen = (parameters.model, parameters.preset)
            self._gui = parameters.connectParametersToGui(self._bindings())
            self._tag = parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._changed())
            self.review.set_scene(slicer.mrmlScene)
            restore_interpolation(slicer.mrmlScene)
        self._changed()

    def _detach(self) -> None:
        """Let go of the parameters, also where `attach` did not come to its end."""
        parameters, tag, gui = self.parameters, self._tag, self._gui
        self.parameters = self._tag = self._gui = None
        if tag is not None:
            parameters.RemoveObserver(tag)
        if gui is not None:
            parameters.disconnectGui(gui)

    def enter(self) -> None:
        """The user comes to the module: models may have come or gone."""
        self._entered = True
        self.model.read_catalogue()
        self.review.enter()
        self._changed()

    def exit(self) -> None:
        """The user goes to another module; a run goes on."""
        self._entered = False
        self.review.exit()

    def scene_closing(self) -> None:
        """Everything that belongs to the scene ends; its parameters are left alone."""
        self.logic.scene_closed()
        self.attach(None)
        self.apply_to.forget()
        self.review.clear()
        self.run.forget()

    def cleanup(self) -> None:
        """The module is unloaded; a second time there is nothing to do, and the form may be gone."""
        if self._closed:
            return
        self._closed = True
        self._timer.stop()
        try:
            self._detach()
            self.review.cleanup()
        finally:  # whatever happens: no process stays, and nothing is told to controls that go
            self._wire(connect=False)
            self.logic.close()

    def apply(self, *, refine_steps: int = 0) -> None:
        """Register; while something runs: cancel it."""
        if self.logic.state is not RunState.IDLE:
            self.logic.cancel()
            return
        self.run.forget()
        self._timer.start()
        if not self._ready():
            return
        try:
            card = self.model.card(self.parameters)
            self.logic.start(request_of(self.parameters, card, self.model.device, refine_steps=refine_steps))
        except (ValueError, RuntimeError, OSError, MemoryError) as error:
            self._failed(failure_of_error(error))

    def _refine(self) -> None:
        """Register with the model, and go on from its answer."""
        if self.logic.state is RunState.IDLE:
            self.apply(refine_steps=self.parameters.refineSteps)

    def _wire(self, *, connect: bool) -> None:
        """The logic's signals to what they show, or no longer."""
        logic = self.logic
        for signal, slot in (
            (logic.state_changed, self._state_changed),
            (logic.progressed, self._progressed),
            (logic.finished, self._finished),
            (logic.failed, self._failed),
            (logic.cancelled, self.run.show_cancelled),
            (logic.previewed, self._previewed),
            (logic.preview_said, self._say_live),
            (logic.catalogue_changed, self._catalogue_changed),
        ):
            (signal.connect if connect else signal.disconnect)(slot)

    def _poll(self) -> None:
        """One beat of the timer, which rests when nothing is awaited."""
        self.logic.poll()
        if not self.logic.awaits:
            self._timer.stop()

    def _bindings(self) -> dict[str, Any]:
        """Parameter → widget, or connector where Slicer has none."""
        widgets = [w for w in vars(self.ui).values() if w.property("SlicerParameterName")]
        bound = {str(widget.property("SlicerParameterName")): widget for widget in widgets}
        return bound | {"model": self.model.connector}

    def _card(self) -> Any:
        return self.model.card(self.parameters)

    def _changed(self) -> None:
        """Any parameter: show what follows from it, and ask for a preview where one is wanted."""
        if self._showing or slicer.mrmlScene.IsClosing() or slicer.mrmlScene.IsImporting():
            return
        self._showing = True
        try:
            self._follow_choice()
            self.model.show(self.parameters)
            self.apply_to.show(self.parameters)
            if self.parameters is not None:
                self.controls.show(self.parameters)
                self.regularization.show(self.parameters, self._card())
            self._show_state()
        finally:
            self._showing = False
        self._prepare_worker()
        self._preview_if_wanted()

    def _follow_choice(self) -> None:
        """Another preset brings its settings, another model the tuned values of its sliders; other changes are remembered."""
        if self.parameters is None:
            return
        model, preset = self._chosen
        self._chosen = (self.parameters.model, self.parameters.preset)
        if preset != self.parameters.preset:
            self.regularization.choose_preset(self.parameters, self._card())
        if model != self.parameters.model:
            self.regularization.reset(self.parameters, self._card())
        remember_asked(self.parameters)

    def _prepare_worker(self) -> None:
        """Nothing is missing any more: the worker starts while the user looks at the settings. Nothing is installed for it."""
        chosen = self.model.device if self._entered and not missing(self.parameters, self.model.cards) else None
        if chosen == self._prepared:
            return
        self._prepared = chosen
        if chosen is not None and (self._installed or self.logic.installer.check()):
            with contextlib.suppress(OSError):  # Apply will say it
                self.logic.prepare(chosen)

    def _preview_if_wanted(self) -> None:
        parameters = self.parameters
        wanted = parameters is not None and parameters.updateLive and self.ui.updateLiveCheckBox.enabled
        if not wanted or missing(parameters, self.model.cards):
            if self._preview_key is not None:
                self._preview_key = None
                if self._previewing:  # otherwise what is shown is a finished result
                    self.review.clear()
                self.logic.stop_preview()
                self._say_live("")
            return
        if self.logic.state is not RunState.IDLE:
            return
        try:
            request = request_of(parameters, self._card(), self.model.device)
            key = preview_key(request)
            if key != self._preview_key and self._ready():
                self._preview_key = key
                self._timer.start()
                self.logic.preview(request)
        except (ValueError, RuntimeError, OSError, MemoryError) as error:
            self._failed(failure_of_error(error))

    def _ready(self) -> bool:
        """True where what computing needs is installed; otherwise the panel says in words what to do."""
        if self._installed:  # to look again takes as long as a slider may
            return True
        installed = self.logic.installer.ensure()
        self._installed = installed.state is Readiness.READY
        if self._installed:
            return True
        self._preview_key = None
        self._failed(Failure(installed.sentence, remedies=("install",) if installed.state is Readiness.DECLINED else ()))
        return False

    def _manage(self, action: str, what: str) -> None:
        if self.logic.state is not RunState.IDLE:
            return
        self.run.forget()
        self._timer.start()
        if not self._ready():
            return
        try:
            self.logic.manage(action, what)
        except (RuntimeError, OSError) as error:
            self._failed(failure_of_error(error))

    def _catalogue_changed(self) -> None:
        self.model.read_catalogue()
        self._changed()

    def _remedy(self, remedy: str) -> None:
        """What may help after a failure, and once more."""
        if remedy == "cpu":
            self.model.choose_device("cpu")
        if remedy == "half-resolution":
            request = request_of(self.parameters, self._card(), self.model.device)
            fixed = self.parameters.fixedVolume
            changed = with_remedy(request, remedy, fixed.GetImageData().GetDimensions(), fixed.GetSpacing())
            self.parameters.workingSpacing = changed.settings["working_spacing_mm"]
        self.apply()

    def _undo(self) -> None:
        self.review.clear()
        self.logic.undo()
        self.run.show_words("The outputs are as they were before the last run.")
        self._show_state()

    def _show_state(self) -> None:
        self.run.show_state(self.logic.state, missing(self.parameters, self.model.cards))
        idle = self.logic.state is RunState.IDLE
        self.ui.undoButton.enabled = self.logic.can_undo and idle
        self.ui.importModelButton.enabled = idle
        for name in ("refineButton", "downloadModelButton", "removeModelButton"):  # when idle, their sections decide
            button = getattr(self.ui, name)
            button.enabled = button.enabled and idle

    def _state_changed(self, state: RunState) -> None:
        self._show_state()
        if state is RunState.IDLE:
            if self.parameters is not None:
                self.model.show(self.parameters)
                self.regularization.show(self.parameters, self._card())
            if self.logic.pid is None:  # the next change starts another one
                self._prepared = None
            self.model.offer_devices(self.logic.devices)
            self._preview_if_wanted()  # of what was moved meanwhile

    def _progressed(self, step: Step) -> None:
        self.run.show_step(step)
        self.model.show_device(self.logic.device)

    def _finished(self, outcome: Outcome) -> None:
        self._previewing = False
        self._remember(outcome)
        self.run.show_outcome(outcome)
        self.review.show(outcome)
        self._show_state()

    def _previewed(self, preview: Preview) -> None:
        self._previewing = True
        self._remember(preview)
        folds = preview.figures.get("folding_percent")
        self._say_live(f"{duration(preview.seconds)} per update" + ("" if folds is None else f", {folds:.2g} % folds"))
        self.review.show(preview)

    def _remember(self, result: Shown) -> None:
        """The nodes that were made become the selected outputs."""
        self.model.show_device(result.device)
        if self.parameters is not None:
            with slicer.util.NodeModify(self.parameters.parameterNode):
                remember_outputs(self.parameters, result.outputs)

    def _failed(self, failure: Failure) -> None:
        self._installed = self._installed and "install" not in failure.remedies
        self.run.show_failure(failure)
        self._show_state()

    def _say_live(self, text: str) -> None:
        self.ui.liveLabel.text = text
