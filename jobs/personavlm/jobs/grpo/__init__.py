"""GRPO: groups of rollouts, their advantages, and a policy that learns from them on Ray."""
