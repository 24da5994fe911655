"""What a stage's run leaves in its folder."""

from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    """The output's files by their paths in it; without scratch, and without the stage's description."""
    files = (path for path in folder.rglob("*") if path.is_file() and folder / "scratch" not in path.parents)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.name != "stage.json"}
