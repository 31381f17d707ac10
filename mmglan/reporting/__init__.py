"""Reports of a run: the paper's tables, FROC and sigma plots, detection sheets, HTML report.

Everything here is a pure function on files or arrays and needs no torch. The commands that use it
lie in `mmglan.commands`.
"""
