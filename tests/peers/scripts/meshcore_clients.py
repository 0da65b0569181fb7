"""Two stock clients of MeshCore, each on a device by TCP: a channel of their own, data and texts both ways.

meshcore_clients.py HOST:PORT HOST:PORT SIZE...
"""

import asyncio
import json
import sys

from meshcore import EventType, MeshCore

CHANNEL, KIND, WAIT_S = 2, 0xFF4E, 5


async def main(places, sizes):
    clients, heard = [], []
    for place in places:
        host, port = place.rsplit(":", 1)
        clients.append(await MeshCore.create_tcp(host, int(port)))

    def listen(number, client):
        async def on_data(event):
            heard.append([number, event.payload["channel_idx"], event.payload["payload"]])

        async def on_text(event):
            heard.append([number, event.payload["channel_idx"], event.payload["text"]])

        client.subscribe(EventType.CHANNEL_DATA_RECV, on_data)
        client.subscribe(EventType.CHANNEL_MSG_RECV, on_text)

    result = {"names": [], "channels": [], "answers": [], "heard": []}
    for number, client in enumerate(clients):
        listen(number, client)
        result["names"].append(client.self_info["name"])
        await client.commands.set_channel(CHANNEL, "peers", bytes(range(16)))
        result["channels"].append((await client.commands.get_channel(CHANNEL)).payload["channel_name"])
        await client.start_auto_message_fetching()
    for number, sender in enumerate(clients):
        for size in sizes:
            before = len(heard)
            # What was on the air before is not heard again, whoever sends it.
            data = bytes(range(number, number + size))
            answer = await sender.commands.send_channel_data(CHANNEL, KIND, data)
            result["answers"].append(answer.type.name)
            await heard_by(clients[1 - number], heard, before)
            result["heard"].append(heard[before:])
        before = len(heard)
        answer = await sender.commands.send_chan_msg(CHANNEL, f"hello from {number}")
        result["answers"].append(answer.type.name)
        await heard_by(clients[1 - number], heard, before)
        result["heard"].append(heard[before:])
    print(json.dumps(result))
    for client in clients:
        await client.disconnect()


async def heard_by(client, heard, before):
    for _ in range(4):
        for _ in range(WAIT_S * 50):
            if len(heard) > before:
                return
            await asyncio.sleep(0.02)
        await client.commands.get_msg()  # a notice that comes while it fetches is passed over


asyncio.run(main(sys.argv[1:3], [int(size) for size in sys.argv[3:]]))
