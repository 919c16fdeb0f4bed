"""How good a policy is: any engine, through the agent that serves, on questions whose answers are known."""
