"""The messages between server and site: schema, generated code, strict parsing."""
