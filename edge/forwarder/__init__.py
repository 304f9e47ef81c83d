"""The forwarder process: store to platform, platform commands to controller. It opens no field bus."""
