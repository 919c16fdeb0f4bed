"""The service: Ray Serve application, memory actors, command line, console and demo."""
