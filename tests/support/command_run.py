"""Runs a command of the command line in the current process."""

from typer.testing import CliRunner

from rrsis_geo import cli

runner = CliRunner()


class Run:
    """One call of the command line, with its exit code, stdout and stderr."""

    def __init__(self, *arguments: object) -> None:
        self.result = runner.invoke(cli.app, [str(argument) for argument in arguments])
        self.code, self.out, self.err = (
            self.result.exit_code,
            self.result.stdout,
            self.result.stderr,
        )

    def failed(self, code: int, *words: str) -> None:
        """Check that the call printed nothing on stdout and one error with all words on stderr."""
        assert self.code == code, (self.out, self.err, self.result.exception)
        assert self.out == ""
        lines = self.err.strip().splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        for word in words:
            assert word in errors[0]
        assert "Traceback" not in self.err
