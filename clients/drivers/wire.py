"""What the Python drivers share: one JSON object a line in, one a line out (README.md lists the verbs)."""

import asyncio
import base64
import json
import sys
import traceback


class Inbox:
    """Decrypted events by room and event id, and whoever waits for one."""

    def __init__(self):
        self._events = {}
        self._waiting = {}

    def _future(self, key):
        return self._waiting.setdefault(key, asyncio.get_running_loop().create_future())

    def put(self, key, event):
        future = self._future(key)
        if not future.done():
            future.set_result(event)

    async def get(self, key):
        return await asyncio.shield(self._future(key))


def unbase64(text):
    return base64.b64decode(text)


def to_base64(data):
    return base64.b64encode(data).decode()


async def serve(driver):
    """Answers calls until `stop`; each runs beside the others, since some wait for what others bring about."""
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    answers = sys.stdout
    # Libraries print; only answers may stand on the real output.
    sys.stdout = sys.stderr
    running = set()

    async def answer(call):
        try:
            result = {"result": await getattr(driver, call.pop("verb"))(**call.pop("arguments"))}
        except Exception as error:
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps({"id": call["id"], **result}) + "\n")
        answers.flush()

    while line := await reader.readline():
        call = json.loads(line)
        task = asyncio.create_task(answer(call))
        running.add(task)
        task.add_done_callback(running.discard)
        if call.get("verb") == "stop":
            await task
            return
