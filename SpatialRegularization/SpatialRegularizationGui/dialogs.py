"""The few questions that interrupt the user; injected, so that tests answer them."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer


class Dialogs:
    """Asks through windows of the application."""

    def choose_file(self, title: str, kinds: str) -> str:
        """Path of an existing file; "" where the user thinks better of it."""
        return str(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", kinds) or "")

    def confirm(self, question: str) -> bool:
        """True where the user agrees."""
        return bool(slicer.util.confirmOkCancelDisplay(question))

    def open_folder(self, folder: Path) -> None:
        """Shows a folder in the system's file manager."""
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))
