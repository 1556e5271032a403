// Azurite is always started with --disableTelemetry, so nothing of the real package is ever called.
module.exports = {};
