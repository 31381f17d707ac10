"""Public data sets as volumes, voxel masks and RECIST bookmarks that `prepare` reads."""
