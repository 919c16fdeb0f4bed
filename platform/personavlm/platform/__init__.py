"""What serving and training share: engines, agent, updates, prompts, encoders."""
