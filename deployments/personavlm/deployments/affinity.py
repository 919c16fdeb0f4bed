"""Which policy replica answers a user: the same one while it has room, so that its prefix cache is of use."""

from __future__ import annotations

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from personavlm.deployments.rendezvous import preference


class AffinityRouter(RequestRouter):
    """Offers a message to all replicas, one after the other, in the order that its session id gives them.

    Serve passes over a replica that has `max_ongoing_requests`, so a full one's messages go to the next in
    their own order. When a replica comes or goes, only its own users move.
    """

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """The candidates, best first, each in a rank of its own."""
        if pending_request is None:
            return [candidate_replicas]
        pending_request.routing_context.should_backoff = True  # pause when all of them were full
        session = pending_request.metadata.session_id or pending_request.metadata.internal_request_id
        by_name = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        return [[by_name[name]] for name in preference(session, by_name)]
