"""The heavy work: one list of operations, three implementations; the only place that knows a device."""
