"""One tree of errors for what a user can mend; the command line prints them as one line and exits with 1."""


class AsrkdError(Exception):
    """A mistake in what asrkd was given. The message is one line that names the thing and guesses the cause."""


class ConfigError(AsrkdError):
    """A configuration or command line that asks for something unknown or impossible."""


class DataError(AsrkdError):
    """Data on disk that is missing, malformed, cut short or inconsistent in itself."""


class MismatchError(AsrkdError):
    """Artefacts that are sound in themselves but do not belong together."""
