"""The one place that maps what goes wrong to an exit code and a sentence on stderr."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from nexus_node.base.errors import ConfigError, NexusError
from nexus_node.client.errors import ControlError, NodeNotRunning

from .text import clean

FAILED, USAGE, NO_NODE, NOT_IN_TIME, INTERRUPTED = 1, 2, 3, 4, 130


class Failure(click.ClickException):
    """An error with its exit code; click shows it and exits."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        # click declares it on the class and reads it from the instance.
        vars(self)["exit_code"] = exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"nexus: {clean(self.message)}", err=True)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn whatever a verb raises into an exit code; nobody sees a traceback of an expected error."""
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. What Python still flushes at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None
    except NexusError as error:
        raise Failure(str(error), exit_code_of(error)) from error
    except OSError as error:
        raise Failure(os_error_words(error)) from error


def exit_code_of(error: NexusError) -> int:
    """The contract's exit code for one of our errors."""
    if isinstance(error, NodeNotRunning):
        return NO_NODE
    if isinstance(error, ControlError):
        return {"usage": USAGE, "timeout": NOT_IN_TIME}.get(error.code, FAILED)
    return FAILED


def os_error_words(error: OSError) -> str:
    """A sentence about the operating system's refusal, with the cure where there is a usual one."""
    what = f"{error.filename}: " if error.filename is not None else ""
    cure = {
        errno.ENOSPC: "; make room on that disk",
        errno.EROFS: "; choose a --home on a disk that can be written",
        errno.EACCES: "; check whose it is with ls -ld",
        errno.EPERM: "; check whose it is with ls -ld",
    }.get(error.errno or 0, "")
    return f"{what}{error.strerror or error}{cure}"


def bad_option(error: ConfigError) -> click.UsageError:
    """A usage error from a configuration error in an option."""
    return click.UsageError(clean(str(error)))
