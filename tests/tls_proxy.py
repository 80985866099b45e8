"""What nginx does in a deployment, as far as certificates go: TLS 1.3 and a client certificate of the CA, or nothing.

``python -m tests.tls_proxy CERTIFICATE KEY CA PORT TARGET_PORT`` serves on loopback until it is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys

_BUFFER = 1 << 16


async def main(certificate: str, key: str, ca: str, port: int, target_port: int) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    server.load_verify_locations(ca)
    server.verify_mode = ssl.CERT_REQUIRED
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    client = ssl.create_default_context(cafile=ca)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", target_port, ssl=client, server_hostname="localhost")
        await asyncio.gather(copy(reader, behind[1]), copy(behind[0], writer))

    async with await asyncio.start_server(serve, "127.0.0.1", port, ssl=server) as listener:
        await listener.serve_forever()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_BUFFER):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
