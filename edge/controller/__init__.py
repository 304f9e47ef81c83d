"""The controller process: drivers, scan cycle, recorder and the socket by which it is asked."""
