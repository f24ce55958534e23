"""What the command line must know before anything heavy is imported."""

DEFAULT_PORT = 7680
