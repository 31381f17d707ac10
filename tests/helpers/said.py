"""What an error must say: where, the decisive words, and advice."""


def says(error, where: str, *words: str) -> bool:
    """Say whether an error is one line: its place, what was expected with all `words`, advice."""
    text = str(error)
    expected, _, advice = text.removeprefix(f"{where}: ").removesuffix(".").rpartition(". ")
    return (
        text.startswith(f"{where}: Expected ")
        and text.isprintable()
        and all(word in expected for word in words)
        and len(advice.split()) >= 2
    )
