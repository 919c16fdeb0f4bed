"""`make k8s-check`: what can be known to be wrong with the manifests without a cluster."""
