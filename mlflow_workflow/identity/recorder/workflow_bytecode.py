"""Python runs what the sources say, whatever a cache has of them."""

from importlib.machinery import SourceFileLoader


def read_sources_only(installed: tuple[str, ...]) -> None:
    """Python trusts a `.pyc` by time and size of its source, both of which an edit may keep."""
    usual = SourceFileLoader.path_stats

    def path_stats(loader: SourceFileLoader, path: str) -> object:
        if path.startswith(installed):
            return usual(loader, path)
        raise OSError  # so there is none to compare a `.pyc` with

    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign, assignment]
