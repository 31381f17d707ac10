"""`mmglan public-set`, where users of MMDetection look for it."""

from mmglan.commands.console import run

if __name__ == "__main__":
    raise SystemExit(run("public-set"))
