"""A device run by matrix-nio, its keys in nio's own store (SQLite, vodozemac)."""

import asyncio
import io
import os
import sys

import nio
from nio.crypto import decrypt_attachment

from wire import Inbox, serve, to_base64, unbase64


def checked(response):
    if isinstance(response, nio.ErrorResponse):
        raise RuntimeError(str(response))
    return response


class Driver:
    def __init__(self):
        self.client = None
        self.syncing = None
        self.inbox = Inbox()
        self.steps = Inbox()
        self.rooms = asyncio.Condition()

    async def login(self, homeserver, user, password, store):
        self.open(homeserver, user, store)
        answer = checked(await self.client.login(password, device_name="nio"))
        await self.run()
        return {"user_id": answer.user_id, "device_id": answer.device_id, "access_token": answer.access_token}

    async def resume(self, homeserver, store, user_id, device_id, access_token):
        """The same device after a restart, with what its store remembers."""
        self.open(homeserver, user_id, store)
        self.client.restore_login(user_id, device_id, access_token)
        await self.run()
        return {"user_id": user_id, "device_id": device_id, "access_token": access_token}

    def open(self, homeserver, user, store):
        os.makedirs(store, exist_ok=True)
        config = nio.AsyncClientConfig(store_sync_tokens=True, encryption_enabled=True)
        self.client = nio.AsyncClient(homeserver, user, store_path=store, config=config)
        self.client.add_event_callback(self.on_event, nio.Event)
        self.client.add_response_callback(self.on_sync, nio.SyncResponse)
        self.client.add_to_device_callback(self.on_verification, nio.KeyVerificationEvent)

    async def run(self):
        checked(await self.client.sync(timeout=0))
        if self.client.should_upload_keys:
            checked(await self.client.keys_upload())
        self.syncing = asyncio.create_task(self.keep_syncing())

    async def keep_syncing(self):
        while True:
            try:
                await self.client.sync_forever(timeout=30000)
            except Exception as error:  # a server that is down: it will come back
                print("sync:", error, file=sys.stderr)
                await asyncio.sleep(0.2)

    async def on_sync(self, _):
        async with self.rooms:
            self.rooms.notify_all()

    async def on_event(self, room, event):
        if not isinstance(event, nio.MegolmEvent):
            self.inbox.put((room.room_id, event.event_id), event)

    async def create_room(self, invite):
        encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
        answer = checked(await self.client.room_create(invite=invite, initial_state=[encryption]))
        return {"room_id": answer.room_id}

    async def join(self, room_id):
        checked(await self.client.join(room_id))
        return {}

    async def see(self, room_id, user_ids):
        """Waits until the room is known as encrypted, with these as joined members."""

        def seen():
            room = self.client.rooms.get(room_id)
            joined = set(room.users) - set(room.invited_users) if room else set()
            return room is not None and room.encrypted and set(user_ids) <= joined

        async with self.rooms:
            await self.rooms.wait_for(seen)
        if self.client.should_query_keys:
            checked(await self.client.keys_query())
        return {}

    async def send(self, room_id, content):
        answer = await self.client.room_send(room_id, "m.room.message", content, ignore_unverified_devices=True)
        return {"event_id": checked(answer).event_id}

    async def send_text(self, room_id, text):
        return await self.send(room_id, {"msgtype": "m.text", "body": text})

    async def send_file(self, room_id, name, data):
        data = unbase64(data)
        answer, keys = await self.client.upload(io.BytesIO(data), "text/plain", name, encrypt=True, filesize=len(data))
        content = {"msgtype": "m.file", "body": name, "info": {"size": len(data), "mimetype": "text/plain"}}
        return await self.send(room_id, {**content, "file": {**keys, "url": checked(answer).content_uri}})

    async def receive(self, room_id, event_id):
        """The decrypted message, with the decrypted bytes of its file."""
        event = await self.inbox.get((room_id, event_id))
        found = {"sender": event.sender, "body": event.body, "decrypted": event.decrypted}
        if isinstance(event, nio.RoomEncryptedMedia):
            answer = checked(await self.client.download(event.url))
            file = event.source["content"]["file"]
            data = decrypt_attachment(answer.body, file["key"]["k"], file["hashes"]["sha256"], file["iv"])
            found["data"] = to_base64(data)
        return found

    async def export_keys(self, path, passphrase):
        await self.client.export_keys(path, passphrase)
        return {}

    async def import_keys(self, path, passphrase):
        checked(await self.client.import_keys(path, passphrase))
        return {}

    async def read_history(self, room_id, event_id):
        """An event from before this device, with the keys it has now."""
        answer = checked(await self.client.room_get_event(room_id, event_id))
        event = answer.event
        if isinstance(event, nio.MegolmEvent):
            event = self.client.decrypt_event(event)
        return {"sender": event.sender, "body": event.body, "decrypted": event.decrypted}

    # Verification by emoji (SAS), framed as nio does: it starts at once, without a request.

    async def request_verification(self, user_id, device_id):
        device = self.client.device_store[user_id][device_id]
        checked(await self.client.start_key_verification(device))
        return {}

    async def start_verification(self):
        return await self.steps.get("emoji")

    async def accept_verification(self):
        return await self.steps.get("emoji")

    async def confirm_verification(self, transaction):
        checked(await self.client.confirm_short_auth_string(transaction))
        await self.steps.get("mac")
        sas = self.client.key_verifications[transaction]
        if not sas.verified:
            raise RuntimeError(f"not verified: {sas.cancel_reason}")
        return {"verified": self.client.olm.is_device_verified(sas.other_olm_device)}

    async def is_verified(self, user_id, device_id):
        return {"verified": self.client.olm.is_device_verified(self.client.device_store[user_id][device_id])}

    async def on_verification(self, event):
        transaction = event.transaction_id
        sas = self.client.key_verifications.get(transaction)
        if isinstance(event, nio.KeyVerificationStart):
            checked(await self.client.accept_key_verification(transaction))
        elif isinstance(event, nio.KeyVerificationKey):
            self.steps.put("emoji", {"emoji": [emoji for emoji, _ in sas.get_emoji()], "transaction": transaction})
        elif isinstance(event, nio.KeyVerificationMac):
            self.steps.put("mac", True)

    async def stop(self):
        if self.syncing:
            self.syncing.cancel()
        if self.client:
            await self.client.close()
        return {}


async def main():
    await serve(Driver())


asyncio.run(main())
