"""How many policy replicas there are and what each takes, and what each tenant may use of them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from personavlm.platform.config_section import Section

Amount = Annotated[float, Field(gt=0)]


class AutoscalingConfig(Section):
    """As many replicas as the messages that are being answered call for."""

    min_replicas: int = Field(1, ge=1)
    max_replicas: int = Field(ge=1)
    target_ongoing: float = Field(16, gt=0)
    """How many messages each replica should be answering at a time."""
    up_after_s: float = Field(15, ge=0)
    """How long it must have been more before replicas are added."""
    down_after_s: float = Field(600, ge=0)
    """How long it must have been fewer before replicas are taken away."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError("max_replicas is below min_replicas")
        return self


class PolicyConfig(Section):
    """The replicas that hold the engine. Each user keeps to one of them while it has room."""

    replicas: int = Field(1, ge=1)
    autoscaling: AutoscalingConfig | None = None
    """Instead of a fixed number of replicas."""
    cpus: float = Field(0.25, ge=0)
    """Of each replica, as the fields below."""
    gpus: float = Field(0, ge=0)
    """A whole number, or a part of one."""
    resources: dict[str, Amount] = Field({})
    """Ray's custom resources, by which the nodes are chosen: {name: amount}."""
    max_ongoing: int = Field(64, ge=1)
    """Messages that a replica answers at a time. When it is full, others take over its users' messages."""
    max_queued: int = Field(256, ge=1)
    """Messages that may wait while all replicas are full; those beyond it are refused with status 429. Every
    ingress replica admits its share of them, rounded up."""
    drain_s: float = Field(300, ge=0)
    """How long a replica that is to stop may go on with the replies that it has begun."""
    wait_for_nodes: bool = False
    """Start although the cluster has too few resources now, and wait until its autoscaler has added some."""
    wait_for_nodes_s: float = Field(1800, gt=0)
    """For how long, before the start is given up."""

    @property
    def least_replicas(self) -> int:
        return self.autoscaling.min_replicas if self.autoscaling else self.replicas

    @property
    def most_replicas(self) -> int:
        return self.autoscaling.max_replicas if self.autoscaling else self.replicas

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.autoscaling and "replicas" in self.model_fields_set:
            raise ValueError("set replicas or autoscaling, not both")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError("gpus must be a whole number, or a part of one GPU")
        return self


class TenantLimits(Section):
    """What one tenant may use; where nothing is said, as much as it likes."""

    concurrency: int | None = Field(None, ge=1)
    """Messages that are being answered at a time."""
    tokens_per_minute: int | None = Field(None, ge=1)
    """Tokens of prompts and replies, as the engine counts them. A reply is charged when it is complete; who
    has used up more than there was waits until the debt is paid."""


class LimitsConfig(TenantLimits):
    """Limits of every tenant, and of some in particular.

    Every ingress replica grants its share of a limit, rounded up.
    """

    tenants: dict[str, TenantLimits] = Field({})
    """By tenant, in place of the limits that hold for all."""

    def of(self, tenant: str) -> TenantLimits:
        """The limits of one tenant."""
        return self.tenants.get(tenant, self)
