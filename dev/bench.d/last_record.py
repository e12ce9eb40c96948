"""Print the revision of the newest record, as the store itself tells it: last_record.py FOLDER, inside the machine."""

import asyncio
import sys
from pathlib import Path

import nats

from dataplane.layout import founding, pointed_at
from dataplane.nats_keys import NatsKeys
from dataplane.nats_server import NatsServer


async def main(folder: Path) -> None:
    layout = pointed_at(folder) or founding("m1", NatsKeys(folder).public())
    server = NatsServer(folder, "m1", layout)
    client = await nats.connect(server.url, nkeys_seed_str=server.seed(), inbox_prefix=server.inbox.encode())
    print((await client.jetstream().stream_info("KV_records")).state.last_seq)
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
