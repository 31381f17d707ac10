"""3D false-positive reduction: a small network looks at each stacked detection again."""
