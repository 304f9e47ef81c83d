"""The running system: the controller, the store, the forwarder and the technician's command line."""
