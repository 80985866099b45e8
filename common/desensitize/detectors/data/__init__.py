"""Tables and weights that ship with the detectors; NOTICE.json says where they come from."""
