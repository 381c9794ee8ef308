"""What the panel's tests need beside slicer-core; they skip with this sentence where it is absent."""

REASON = (
    "needs the package PySide6-Essentials and Qt's system libraries (Debian: libegl1 libgl1 libxkbcommon0 libfontconfig1 "
    "libdbus-1-3)"
)
