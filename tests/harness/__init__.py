"""What wire and end-to-end tests stand on: servers on free ports, the proxy, fake peers."""
