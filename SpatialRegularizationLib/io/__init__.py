"""Files of images, transforms, points and surface models; everything that leaves this folder is LPS millimeters."""
