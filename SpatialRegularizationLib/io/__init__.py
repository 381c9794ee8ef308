"""Files in and out: volumes, transforms, points, meshes and the result folder. Only this folder touches the disk."""
