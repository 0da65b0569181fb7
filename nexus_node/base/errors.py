"""Who is at fault: the peer (RemoteError), ourselves (LocalError), the world, or the person's input.

The text of an error that a person sees names the thing and the cure, in one sentence.
"""


class NexusError(Exception):
    """Root of every error this project raises on purpose."""


class RemoteError(NexusError):
    """The peer broke the protocol: a named counter, perhaps a link reset, never a crash."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        """The counter's name, such as `replay` or `bad_frame`."""


class BadWire(RemoteError):
    """Bytes from outside that do not parse; the only error a `parse_*_untrusted` raises."""


class LocalError(NexusError):
    """We used a machine wrongly: a bug, loud in tests."""


class CarrierLost(NexusError):
    """The medium or connection went away; the text says how."""


class CarrierClosed(CarrierLost):
    """The node gave this carrier up; its driver should close it."""


class StoreError(NexusError):
    """The store cannot do what it must; the text says why and what to do."""


class StoreFull(StoreError):
    """The quota or the disk has no room for this; nothing was stored."""


class StoreCorrupt(StoreError):
    """The database cannot be trusted; it was set aside or left alone, never overwritten."""


class StoreUnavailable(StoreError):
    """The database cannot be opened as things stand (rights, another process, a newer version)."""


class ConfigError(NexusError):
    """A configuration value that cannot be used; the text names the key."""


class IdentityError(NexusError):
    """The identity file is missing, unreadable, or the passphrase does not open it."""


class InputError(NexusError):
    """Something a person typed that cannot be carried out as it stands."""


class UnknownContact(InputError):
    """No contact has that name."""
