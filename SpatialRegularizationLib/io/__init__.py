"""Files: images, transforms, points, surface models. Everything that leaves this folder is LPS millimetres."""
