"""Frame in, maps out; no sockets: centering, networks, dropout masks, fusion, uncertainty."""
