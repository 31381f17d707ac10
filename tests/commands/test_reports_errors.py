import pytest

from data_prep.command_line import reports_errors
from data_prep.errors import DataError


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (DataError("Expected a but got b.", path="x.csv", row=3), 2, "error: x.csv, row 3: Exp"),
        (FileNotFoundError(2, "No such file", "x"), 2, "error: [Errno 2] No such file: 'x'"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_errors_become_one_line_and_a_status(error, status, message, capsys):
    @reports_errors
    def main(arguments=None):
        """What it does."""
        raise error

    assert main([]) == status
    printed = capsys.readouterr()
    assert printed.err.startswith(message) and printed.err.count("\n") == 1
    assert printed.out == "" and main.__doc__ == "What it does."


def test_status_of_a_command_that_ends_well_is_its_own():
    assert [reports_errors(lambda arguments: len(arguments))(words) for words in ([], ["a"])] == [
        0,
        1,
    ]


def test_faults_of_the_program_are_not_hidden():
    with pytest.raises(KeyError):
        reports_errors(lambda arguments: {}[arguments])([].__class__)
