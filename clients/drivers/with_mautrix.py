"""A device run by mautrix-python, its keys in its own store (SQLite, libolm)."""

import asyncio
import logging
import os
import sys

from mautrix.client import Client
from mautrix.crypto import OlmMachine
from mautrix.crypto.attachments import decrypt_attachment, encrypt_attachment
from mautrix.crypto.store.asyncpg import PgCryptoStateStore, PgCryptoStore
from mautrix.types import (
    EncryptionAlgorithm,
    EventType,
    FileInfo,
    MediaMessageEventContent,
    Membership,
    MessageType,
    RoomEncryptionStateEventContent,
    TextMessageEventContent,
)
from mautrix.util.async_db import Database

from wire import Inbox, serve, to_base64, unbase64

logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


class Driver:
    def __init__(self):
        self.client = None
        self.database = None
        self.inbox = Inbox()
        self.members = asyncio.Condition()

    async def login(self, homeserver, user, password, store):
        self.client = Client(base_url=homeserver)
        answer = await self.client.login(identifier=user, password=password, device_name="mautrix")
        await self.run(store, answer.user_id)
        return {"user_id": answer.user_id, "device_id": answer.device_id, "access_token": answer.access_token}

    async def resume(self, homeserver, store, user_id, device_id, access_token):
        """The same device after a restart, with what its store remembers."""
        self.client = Client(mxid=user_id, device_id=device_id, base_url=homeserver, token=access_token)
        await self.run(store, user_id)
        return {"user_id": user_id, "device_id": device_id, "access_token": access_token}

    async def run(self, store, user_id):
        os.makedirs(store, exist_ok=True)
        client = self.client
        self.database = Database.create(f"sqlite:///{store}/crypto.db", upgrade_table=PgCryptoStore.upgrade_table)
        await self.database.start()
        await PgCryptoStateStore.upgrade_table.upgrade(self.database)
        state_store = PgCryptoStateStore(self.database)
        crypto_store = PgCryptoStore(account_id=user_id, pickle_key="a test's", db=self.database)
        await crypto_store.open()
        client.state_store = state_store
        client.sync_store = crypto_store
        client.crypto = OlmMachine(client, crypto_store, state_store)
        await client.crypto.load()
        await crypto_store.put_device_id(client.device_id)
        if not client.crypto.account.shared:
            await client.crypto.share_keys()
        client.add_event_handler(EventType.ROOM_MESSAGE, self.on_message)
        client.add_event_handler(EventType.ROOM_MEMBER, self.on_member)
        client.add_event_handler(EventType.ROOM_ENCRYPTION, self.on_member)
        client.start(None)

    async def on_message(self, event):
        self.inbox.put((event.room_id, event.event_id), event)

    async def on_member(self, _):
        async with self.members:
            self.members.notify_all()

    async def create_room(self, invite):
        content = RoomEncryptionStateEventContent(algorithm=EncryptionAlgorithm.MEGOLM_V1)
        encryption = {"type": "m.room.encryption", "state_key": "", "content": content.serialize()}
        return {"room_id": await self.client.create_room(invitees=invite, initial_state=[encryption])}

    async def join(self, room_id):
        await self.client.join_room_by_id(room_id)
        return {}

    async def see(self, room_id, user_ids):
        """Waits until the room is known as encrypted, with these as joined members."""
        store = self.client.state_store

        async def seen():
            members = [await store.get_member(room_id, user_id) for user_id in user_ids]
            joined = all(member and member.membership == Membership.JOIN for member in members)
            return joined and bool(await store.is_encrypted(room_id))

        async with self.members:
            while not await seen():
                await self.members.wait()
        return {}

    async def send_text(self, room_id, text):
        content = TextMessageEventContent(msgtype=MessageType.TEXT, body=text)
        return {"event_id": await self.client.send_message(room_id, content)}

    async def send_file(self, room_id, name, data):
        data = unbase64(data)
        encrypted, file = encrypt_attachment(data)
        file.url = await self.client.upload_media(encrypted, mime_type="application/octet-stream")
        info = FileInfo(size=len(data), mimetype="text/plain")
        content = MediaMessageEventContent(msgtype=MessageType.FILE, body=name, info=info, file=file)
        return {"event_id": await self.client.send_message(room_id, content)}

    async def receive(self, room_id, event_id):
        """The decrypted message, with the decrypted bytes of its file."""
        return await self.read(await self.inbox.get((room_id, event_id)))

    async def read(self, event):
        found = {"sender": event.sender, "body": event.content.body, "decrypted": bool(event.get("mautrix", {}).get("was_encrypted"))}
        file = event.content.get("file")
        if file:
            encrypted = await self.client.download_media(file.url)
            found["data"] = to_base64(decrypt_attachment(encrypted, file.key.key, file.hashes["sha256"], file.iv))
        return found

    async def make_recovery_key(self):
        """Cross-signing keys, kept in secret storage under the key that is answered."""
        return {"recovery_key": await self.client.crypto.generate_recovery_key()}

    async def use_recovery_key(self, recovery_key):
        """Signs this device with the keys that secret storage holds."""
        await self.client.crypto.verify_with_recovery_key(recovery_key)
        return {}

    async def fetch_key(self, room_id, event_id, device_id):
        """Asks another device of this account for the key of an event, as mautrix has no backup; waits for it."""
        event = await self.client.get_event(room_id, event_id)
        content = event.content
        other = {self.client.mxid: {device_id: None}}
        found = await self.client.crypto.request_room_key(room_id, content.sender_key, content.session_id, other)
        return {"found": found}

    async def read_history(self, room_id, event_id):
        """An event from before this device, with the keys it has now."""
        event = await self.client.get_event(room_id, event_id)
        return await self.read(await self.client.crypto.decrypt_megolm_event(event))

    async def trust(self, user_id, device_id):
        """What this device thinks of another."""
        device = await self.client.crypto.get_or_fetch_device(user_id, device_id)
        return {"trust": (await self.client.crypto.resolve_trust(device)).name}

    async def stop(self):
        if self.client:
            self.client.stop()
            await self.client.api.session.close()
        if self.database:
            await self.database.stop()
        return {}


async def main():
    await serve(Driver())


asyncio.run(main())
