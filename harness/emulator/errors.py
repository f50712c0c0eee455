"""What whoever starts or ends an emulated cloud may be told."""


class CloudError(Exception):
    """The cloud could not be started, reached or ended. After a failed start nothing is left running."""


class CloudRefused(CloudError):
    """The cloud cannot be as it was asked for, which shows before anything is made or started."""
